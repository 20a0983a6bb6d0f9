"""Output of which nobody reads the end, and databases that nobody may write."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

import hdap

Hdap = Callable[..., Result]
ROW = ("sql", "SELECT * FROM measurements LIMIT 300")
PRINTING = (("devices",), (*ROW, "--csv"), ("trials", "--json"), ("search", "--help"))
READING: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("devices",),
    ("trials",),
    ("trials", "--studies"),
    ROW,
)
WRITING: tuple[tuple[str, ...], ...] = (
    ("cluster",),
    ("search", "--model", "resnet50", "--flops", "1.0G"),
)
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Hdap:
    """The fixture `hdap`, whose name here is the package's."""
    found: Hdap = request.getfixturevalue("hdap")
    return found


def _hdap(*words: str, db: Path, plain_user: bool = False) -> subprocess.Popen[str]:
    def obey_modes() -> None:
        # the superuser obeys none; without this capability, which only it can drop, it does
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)

    return subprocess.Popen(
        [sys.executable, "-m", "hdap", *words, "--db", str(db)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_modes if plain_user else None,
    )


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_that_stops_reading_is_no_failure(words: tuple[str, ...], searched: Path) -> None:
    child = _hdap(*words, db=searched)
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    _, said = child.communicate(timeout=120)
    assert child.returncode == 0, said
    assert "Broken" not in said


@pytest.fixture(params=["file", "folder"])
def locked(request: pytest.FixtureRequest, database: Path) -> Iterator[Path]:
    """A database whose file or folder only lets read."""
    place = database if request.param == "file" else database.parent
    before = place.stat().st_mode
    place.chmod(0o444 if request.param == "file" else 0o555)
    yield database
    place.chmod(before)


def test_what_a_database_lets_do_is_what_its_rights_let_do(locked: Path) -> None:
    reading, writing = (_hdap(w, db=locked, plain_user=True) for w in ("devices", "cluster"))
    _, said = reading.communicate(timeout=120)
    assert reading.returncode == 0, said
    _, said = writing.communicate(timeout=120)
    assert writing.returncode == 1
    assert "read-only" in said


@pytest.fixture
def read_only(database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database where nothing can be written, as far as this process is told."""
    real: Callable[..., bool] = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    return database


def test_all_reading_commands_read_it_and_writing_ones_say_that_it_is_read_only(
    run: Hdap, read_only: Path, tmp_path: Path
) -> None:
    more = (("plot", "clusters", "--out", str(tmp_path / "c.svg")),)
    for words in (*READING, *more):
        done = run(*words, db=read_only)
        assert done.exit_code == 0, done.output
    telemetry = tmp_path / "telemetry.csv"
    telemetry.write_text("device_id,model,latency_ms\na,m,1\n")
    for words in (*WRITING, ("ingest", str(telemetry))):
        done = run(*words, db=read_only)
        assert done.exit_code == 1
        assert "read-only" in done.stderr
    done = run("ingest", str(telemetry), db=tmp_path / "new.db")
    assert "give another with --db" in done.stderr


def test_a_fleet_reads_it_too(read_only: Path) -> None:
    with hdap.Fleet(read_only) as fleet:
        assert fleet.study().trial >= 0
        with pytest.raises(hdap.HdapError, match="read-only"):
            fleet.clusters("kmeans")


def test_a_log_that_cannot_be_read_is_said_to_be(read_only: Path, run: Hdap) -> None:
    read_only.with_name(f"{read_only.name}-wal").write_bytes(b"x" * 64)
    assert "copy both" in run("status", db=read_only).stderr
