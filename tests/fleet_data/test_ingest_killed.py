"""An ingest that is killed leaves nothing, at whatever moment it is killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.key_cache import Trace
from hdap.fleet_data.store import Store

ROWS = 20_000
PROGRAM = """
import os, sys
from pathlib import Path
from hdap.fleet_data.ingest import csv_reader, ingest
from hdap.fleet_data.store import Store

csv_reader.BLOCK_BYTES = 70_000
url, path, blocks = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
seen = 0

def progress(done, total):
    global seen
    seen += 1
    if seen == blocks:
        print("now", flush=True)
        sys.stdin.readline()

with Store.open(url) as store:
    ingest(store, path, progress=progress)
    print("landed", flush=True)
    os._exit(0)
"""


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    rows = (f"unit-{i % 500},resnet50,{1 + i / 1000},{i % 7 + 1}" for i in range(ROWS))
    path.write_text("device_id,model,latency_ms,weight\nbad\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("again", [False, True], ids=["fresh", "filled"])
@pytest.mark.parametrize("blocks", [1, 4])
def test_a_killed_ingest_leaves_nothing_and_the_next_one_lands_whole(
    new_url: Callable[[], str], tracer: Trace, telemetry: Path, blocks: int, again: bool
) -> None:
    url = new_url()
    if again:
        other = telemetry.with_name("other.csv")
        other.write_text("device_id,model,latency_ms\nelse,m,1\n")
        with Store.open(url) as store:
            ingest(store, other, trace=tracer)
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, telemetry, str(blocks)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n"
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert [path.name for path in telemetry.parent.iterdir() if "rejected" in path.name] == []
    with Store.open(url) as store:
        assert len(store.measurements()) == again
        assert len(store.devices().ids) == again
        assert store.query("SELECT count(*) FROM ingests").rows == ((int(again),),)
        report = ingest(store, telemetry, trace=tracer)
        assert (report.rows, report.added) == (ROWS + 1, ROWS)
        assert len(store.measurements("resnet50")) == ROWS
        assert report.rejected_path is not None
        assert report.rejected_path.read_text().count("\n") == 2
    left = [path.name for path in telemetry.parent.iterdir() if path.name.endswith(".partial")]
    assert left == []


def test_killing_at_random_moments_lands_all_or_nothing(tmp_path: Path, telemetry: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    Store.open(url).close()
    for wait in (0.5, 0.7, 0.9):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, telemetry, "-1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        with Store.open(url) as store:
            rows = len(store.measurements())
        assert rows in (0, ROWS)
        with sqlite3.connect(tmp_path / "t.db") as direct:
            assert direct.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
