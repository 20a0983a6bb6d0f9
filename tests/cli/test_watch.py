"""`hdap watch` and `hdap prune-history` as they are typed: lines, events, statuses, signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

HEADER = "device_id,model,latency_ms,timestamp\n"
CSV = HEADER + "cam-1,resnet50,10,2026-01-01\ncam-2,resnet50,11,2026-01-01\n"
ROOT = Path(__file__).resolve().parents[2]


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "hdap", *words, "--db", str(folder / "t.db")]


def hdap(folder: Path, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """One command, in a process of its own: signals and statuses are a process's."""
    return subprocess.run(
        command(folder, *words),
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, fresh: Callable[[Path], Path]) -> Path:
    fresh(tmp_path / "t.db")
    (tmp_path / "in").mkdir()
    return tmp_path


def test_once_tells_what_it_did_and_by_its_status_whether_all_is_well(folder: Path) -> None:
    (folder / "in" / "a.csv").write_text(CSV)
    metrics = folder / "hdap.prom"
    said = ("watch", "in", "--once", "--rest", "0", "--metrics-file", str(metrics))
    done = hdap(folder, *said)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\S+ \S+ in/a.csv: 2 rows added of 2\n", done.stdout)
    assert 'hdap_rows_total{fate="added"} 2.0' in metrics.read_text()
    (folder / "in" / "b.csv").write_text("no,telemetry\n1,2\n")
    done = hdap(folder, *said, "--json")
    assert done.returncode == 1
    (event,) = map(json.loads, done.stdout.splitlines())
    assert (event["event"], event["source"], event["simulated"]) == ("problem", "in/b.csv", False)
    assert 'hdap_files_total{fate="refused"} 1.0' in metrics.read_text()


def test_a_place_that_is_none_is_one_line(folder: Path) -> None:
    done = hdap(folder, "watch", "nowhere", "--once")
    assert done.returncode == 1
    assert done.stderr.startswith("error: a watch must be of a folder")


def test_lines_on_standard_input_are_ingested_to_the_last(folder: Path) -> None:
    done = hdap(folder, "watch", "-", stdin=CSV + "cam-3,resnet50,-1,2026-01-01")
    assert done.returncode == 0
    assert "standard input: 2 rows added of 3, 1 rejected" in done.stdout
    (listed,) = folder.glob("stdin-*.rejected.csv")
    assert "latency_ms" in listed.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_what_was_done_kept(folder: Path, number: int) -> None:
    words = ("watch", "in", "--every", "0.2", "--rest", "0", "--metrics-port", "0")
    with subprocess.Popen(
        command(folder, *words),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as watch:
        assert watch.stderr is not None
        assert watch.stdout is not None
        address = re.search(r"http://\S+/metrics", watch.stderr.readline())
        assert address is not None
        (folder / "in" / "a.csv").write_text(CSV)
        assert "2 rows added" in watch.stdout.readline()
        wanted, text = 'hdap_rows_total{fate="added"} 2.0', ""
        for _ in range(100):
            text = urllib.request.urlopen(address[0]).read().decode()
            if wanted in text and "hdap_devices 2.0" in text:
                break
            time.sleep(0.1)
        assert wanted in text
        assert "hdap_devices 2.0" in text
        watch.send_signal(number)
        assert watch.wait(60) == 0


def test_history_is_pruned_when_somebody_says_yes(folder: Path) -> None:
    rows = [f"cam-1,resnet50,{10 + n % 7},2020-01-01T00:{n:02}:00Z" for n in range(60)]
    (folder / "t.csv").write_text(HEADER + "\n".join(rows) + "\n")
    assert hdap(folder, "ingest", "t.csv").returncode == 0
    seen = hdap(folder, "prune-history", "--keep", "12w")
    assert "would go" in seen.stdout
    assert "hdap prune-history --keep 2016h --yes" in seen.stdout
    for words, removed in ((["--yes"], 51), ([], 0)):
        done = hdap(folder, "prune-history", "--json", *words)
        assert json.loads(done.stdout)["removed"] == removed
    wrong = hdap(folder, "prune-history", "--keep", "soon")
    assert wrong.returncode == 2
    assert "must be such as 90d, 12w or 36h" in wrong.stderr
