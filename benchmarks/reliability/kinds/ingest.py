"""Telemetry that is damaged, piped or hardly fits, and databases that nobody may write."""

import ctypes
import gzip
import os
import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Ran, Tally, run_hdap
from hdap.fleet_data.architecture import Architecture, WidthGroup
from hdap.fleet_data.configuration import parse_channels

HEADER = "device_id,model,latency_ms"
WIDTHS = {"conv1": 64, "layer1.0.conv1": 64, "layer2.0.conv1": 128}
MODEL = Architecture(
    model="net",
    input_shape=(3, 8, 8),
    groups=tuple(WidthGroup(name, width, (name,)) for name, width in WIDTHS.items()),
    layers=(),
)
ODD = [
    *("\n", "\r", "\r\n", "\t", " ", "\0", "\x0b", "\x85", "\u00a0", "\u2028", "\u200b", "\ufeff"),
    *("_", "+", "-", "=", ";", ",", ".", "#", '"', "0", "1_0", "\uff15", "\u0665", "e1", ".0"),
    *("conv1", "conv1=8", ";conv1=7", "layer1.0.conv1=8", "=8"),
]
PLAIN = re.compile(r"[ \t]*([a-z0-9.]+)[ \t]*=[ \t]*([0-9]{1,18})[ \t]*", re.ASCII)
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
READING = ("status", "devices", "sql SELECT(1)", "trials --studies")


def _plain(text: str) -> dict[str, int] | None:
    """What a strict reader makes of a list of channels, None where it is none."""
    if not text.strip(" \t"):
        return {}
    found: dict[str, int] = {}
    for part in text.strip(" \t").removesuffix(";").split(";"):
        pair = PLAIN.fullmatch(part)
        if pair is None or pair[1] in found or not 1 <= int(pair[2]) <= WIDTHS.get(pair[1], 0):
            return None
        found[pair[1]] = int(pair[2])
    return found


def channel_lists(folder: Path, cases: int) -> Outcome:
    """Lists with something odd put in: taken as a strict reader takes them, or not at all."""
    rng, tally = random.Random(14), Tally()
    starts = ["", "conv1=56", "conv1=56;layer1.0.conv1=8", " conv1 = 5 ;layer2.0.conv1=100;"]
    for _ in range(0, cases, 1000):
        texts = []
        for _ in range(1000):
            text = rng.choice(starts)
            for _ in range(rng.randint(1, 3)):
                at = rng.randint(0, len(text))
                text = text[:at] + rng.choice(ODD) + text[at:]
            texts.append(text)
        parsed = parse_channels(MODEL, texts)
        for text, counts, error in zip(texts, parsed.counts.tolist(), parsed.errors, strict=True):
            meant = _plain(text)
            taken = None if error is not None else dict(zip(WIDTHS, counts, strict=True))
            right = taken == (None if meant is None else WIDTHS | meant)
            tally.add([] if right else [f"{text!r}: taken as {taken}, is {meant}"])
    return tally.outcome()


def files_of_rejects(folder: Path, cases: int) -> Outcome:
    """Exit status and cause where every row is rejected, and the limit of a pipeline."""
    tally = Tally()
    causes = {
        "a,m,1,7": "one field too many: a comma in a field that is not quoted?",
        "a,m": "one field too few",
        'a,m,"1,500"': "say --decimal , or --decimal .",
        "a,m,1.5 ms": "leave the unit out",
    }
    for row, cause in causes.items():
        (folder / "t.csv").write_text(f"{HEADER}\n{row}\n{row}\n")
        tally.add(run_hdap("ingest", "t.csv", cwd=folder).badly(code=1, says=cause))
    rows = [f"d{i},m,1" for i in range(19)]
    (folder / "t.csv").write_text("\n".join([HEADER, *rows, "b,m,bad", ""]))
    most = ("ingest", "t.csv", "--max-rejected")
    tally.add(run_hdap(*most, "4%", cwd=folder).badly(code=1, says="nothing of it is stored"))
    tally.add(_stores(folder / "hdap.db", 0))
    tally.add(run_hdap(*most, "5%", cwd=folder).badly(code=0))
    tally.add(_stores(folder / "hdap.db", 19))
    (folder / "wrong.csv").write_bytes(f"{HEADER}\na,m,\xff\n".encode("latin-1"))
    both = run_hdap("ingest", "t.csv", "wrong.csv", cwd=folder)
    tally.add(both.badly(code=1, says="Ingest of t.csv"))
    return tally.outcome()


def pipes(folder: Path, cases: int) -> Outcome:
    """Everything that can be a file comes through a pipe, through a FIFO, and in small parts."""
    tally = Tally()
    text = f"{HEADER}\na,m,1\nb,m,bad\nc,m,3\n".encode()
    pl.read_csv(text, infer_schema=False).write_parquet(folder / "t.parquet")
    forms = {
        "csv": text,
        "gz": gzip.compress(text),
        "parquet": (folder / "t.parquet").read_bytes(),
    }
    for form, data in forms.items():
        (folder / f"t.{form}").write_bytes(data)
        for how in (
            "hdap ingest <(cat t.{form}) --db {form}1.db",
            "cat t.{form} | hdap ingest - --db {form}2.db",
            "(head -c1 t.{form}; sleep 0.1; tail -c+2 t.{form}) | hdap ingest - --db {form}3.db",
            "mkfifo {form}.f; cat t.{form} > {form}.f & hdap ingest {form}.f --db {form}4.db",
        ):
            tally.add(
                _shell(folder, how.format(form=form)).badly(code=0, says="1 row was rejected")
            )
        for number in range(1, 5):
            tally.add(_stores(folder / f"{form}{number}.db", 2))
    return tally.outcome()


def readers_that_leave(folder: Path, cases: int) -> Outcome:
    """`| head -1` behind everything that prints: no failure, and nothing left undone."""
    tally = Tally()
    rows = [f"d{i},m,{1 + i % 7}" for i in range(400)]
    (folder / "t.csv").write_text("\n".join([HEADER, *rows, ""]))
    for words in (
        "ingest t.csv",
        "devices --limit 400",
        "devices --limit 400 --json",
        "status",
        "sql 'SELECT * FROM measurements'",
        "sql --csv 'SELECT * FROM measurements'",
        "sql --md 'SELECT * FROM measurements'",
        "sql --json 'SELECT * FROM measurements'",
        "search --help",
        "status --dump-config",
        "cluster",
    ):
        ran = _shell(folder, f"hdap {words} | head -1; exit ${{PIPESTATUS[0]}}")
        tally.add(ran.badly(code=0))
    tally.add(_stores(folder / "hdap.db", 400))
    return tally.outcome()


def what_cannot_be_written(folder: Path, cases: int) -> Outcome:
    """The rows land; what cannot be written beside them is a warning."""
    tally = Tally()
    locked = folder / "locked"
    locked.mkdir()
    (locked / "t.csv").write_text(f"{HEADER}\na,m,1\nb,m,bad\n")
    locked.chmod(0o555)
    ran = _hdap(folder, "ingest", "locked/t.csv", before=_obey_modes)
    locked.chmod(0o755)
    tally.add(ran.badly(code=0, says="(each is listed with its reason in t.csv.rejected.csv)"))
    tally.add(_stores(folder / "hdap.db", 1))
    rows = [f"d{i % 50},m,{1 + i / 1000}" for i in range(60_000)]
    (folder / "1.csv").write_text("\n".join([HEADER, *rows[:48_000]]))
    (folder / "2.csv").write_text("\n".join([HEADER, *rows[48_000:], "d,m,bad"]))
    database = folder / "full.db"
    tally.add(run_hdap("ingest", "1.csv", "--db", str(database), cwd=folder).badly(code=0))
    most = database.stat().st_size + 8192

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    ran = _hdap(folder, "ingest", "2.csv", "--db", str(database), before=little_room)
    tally.add(ran.badly(code=0, says="all rows are stored"))
    tally.add(_stores(database, 60_000))
    return tally.outcome()


def killed_ingests(folder: Path, cases: int) -> Outcome:
    """SIGKILL at any moment: all or nothing, and nothing is left beside the file."""
    tally = Tally()
    rows = [f"d{i % 500},m,{1 + i / 1000}" for i in range(100_000)]
    (folder / "t.csv").write_text("\n".join([HEADER, "bad", *rows, ""]))
    _hdap(folder, "ingest", "t.csv", "--max-rejected", "0")  # makes the database
    here = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    for moment in range(8):
        child = subprocess.Popen(
            _command("ingest", "t.csv"),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=here,
        )
        time.sleep(1.0 + 0.25 * moment)
        child.send_signal(signal.SIGKILL)
        child.wait()
        left = [path.name for path in folder.iterdir() if path.name.endswith(".partial")]
        tally.add([f"left behind: {name}" for name in left])
        tally.add(_stores(folder / "hdap.db", 0, len(rows)))
    return tally.outcome()


def read_only_databases(folder: Path, cases: int) -> Outcome:
    """File, folder, both: reading commands read, writing ones say that it is read-only."""
    tally = Tally()
    (folder / "t.csv").write_text(f"{HEADER}\na,m,1\nb,m,2\n")
    place = folder / "place"
    place.mkdir()
    run_hdap("ingest", "t.csv", "--db", "place/hdap.db", cwd=folder)
    for file, directory in ((0o444, 0o755), (0o644, 0o555), (0o444, 0o555)):
        (place / "hdap.db").chmod(file)
        place.chmod(directory)
        at = ("--db", "place/hdap.db")
        for words in READING:
            ran = _hdap(folder, *words.split(), *at, before=_obey_modes)
            tally.add(ran.badly(code=0, says="no study is stored" * words.startswith("trials")))
        for words in ("cluster", "ingest t.csv", "search --model m --flops 1G"):
            ran = _hdap(folder, *words.split(), *at, before=_obey_modes)
            tally.add(ran.badly(code=1, says="read-only"))
        place.chmod(0o755)
    return tally.outcome()


def _stores(database: Path, *allowed: int) -> list[str]:
    """Why the number of rows in a database is a wrong one."""
    with closing(sqlite3.connect(database)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM measurements").fetchone()
    return [] if rows in allowed else [f"{database.name} holds {rows} rows, right is {allowed}"]


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "hdap", *words]


def _obey_modes() -> None:
    # the superuser obeys no modes; without this capability, which only it can drop, it does
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def _hdap(folder: Path, *words: str, before: Callable[[], None] | None = None) -> Ran:
    return _ran(words, _command(*words), folder, before)


def _shell(folder: Path, line: str) -> Ran:
    """A line of bash in which `hdap` is this checkout's."""
    run = f'hdap() {{ "{sys.executable}" -m hdap "$@"; }}\n{line}'
    return _ran((line,), ["bash", "-c", run], folder, None)


def _ran(
    words: Sequence[str], command: list[str], folder: Path, before: Callable[[], None] | None
) -> Ran:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HDAP_")}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            env=environment,
            timeout=600,
            preexec_fn=before,
        )
    except subprocess.TimeoutExpired:
        return Ran(tuple(words), None, "", "")
    said = [text.decode(errors="replace") for text in (done.stdout, done.stderr)]
    return Ran(tuple(words), done.returncode, *said)


ATTACKS = (
    Attack("lists of channels with something odd in them", channel_lists),
    Attack("files of which every row is bad", files_of_rejects),
    Attack("pipes", pipes),
    Attack("readers that leave", readers_that_leave),
    Attack("places that cannot be written", what_cannot_be_written),
    Attack("ingests that are killed", killed_ingests),
    Attack("databases that are read-only", read_only_databases),
)
