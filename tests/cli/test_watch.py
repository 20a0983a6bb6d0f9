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

import polars as pl
import pytest
from typer.testing import Result

HEADER = "device_id,model,latency_ms,timestamp\n"
CSV = HEADER + "cam-1,resnet50,10,2026-01-01\ncam-2,resnet50,11,2026-01-01\n"
Hdap = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]


def process(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """One command in a process of its own, for what is a process's: signals, standard input."""
    return subprocess.Popen(
        [sys.executable, "-m", "hdap", *words, "--db", str(folder / "t.db")],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def folder(tmp_path: Path, fresh: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    fresh(tmp_path / "t.db")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_once_tells_what_it_did_and_by_its_status_whether_all_is_well(
    hdap: Hdap, folder: Path
) -> None:
    (folder / "in" / "a.csv").write_text(CSV)
    said = ("watch", "in", "--once", "--rest", "0", "--metrics-file", "hdap.prom")
    done = hdap(*said, db="t.db")
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.fullmatch(r"\S+ \S+ in/a.csv: 2 rows added of 2\n", done.stdout)
    assert 'hdap_rows_total{fate="added"} 2.0' in (folder / "hdap.prom").read_text()
    (folder / "in" / "b.csv").write_text("no,telemetry\n1,2\n")
    (folder / "in" / "c.csv").write_text(CSV.replace("11", "-1"))
    done = hdap(*said, "--json", db="t.db")
    assert done.exit_code == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events] == ["problem", "ingested"]
    assert (events[0]["source"], events[0]["simulated"]) == ("in/b.csv", False)
    assert sum(events[1]["rejected"].values()) == 1
    assert 'hdap_files_total{fate="refused"} 1.0' in (folder / "hdap.prom").read_text()


def test_what_a_rule_asks_for_is_an_event_and_a_status_of_its_own(
    hdap: Hdap, folder: Path, fleet_file: Callable[[str], Path]
) -> None:
    rows = pl.read_csv(fleet_file("resnet50"), schema_overrides={"channels": pl.String})
    rows.write_csv(folder / "in" / "1.csv")
    assert hdap("watch", "in", "--once", "--rest", "0", db="t.db").exit_code == 0
    assert hdap("cluster", "--resamples", "0", db="t.db").exit_code == 0
    dense = rows.filter(pl.col("channels").is_null(), pl.col("device_id") == rows["device_id"][0])
    dense = dense.with_columns(latency_ms=pl.col("latency_ms") * 9, timestamp=pl.lit("2026-12-01"))
    dense.write_csv(folder / "in" / "2.csv")
    done = hdap("watch", "in", "--once", "--rest", "0", "--json", db="t.db")
    assert done.exit_code == 3
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["event"], told["kind"], told["action"]) == ("finding", "outliers", "cluster again")
    # a status says the same, and nothing new keeps the exit status as it is
    found = json.loads(hdap("status", "--json", db="t.db").stdout)["drift"]
    assert told["line"] in [finding["line"] for finding in found]
    assert hdap("watch", "in", "--once", db="t.db").exit_code == 3


def test_a_place_that_is_none_is_one_line(hdap: Hdap, folder: Path) -> None:
    done = hdap("watch", "nowhere", "--once", db="t.db")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: a watch must be of a folder")


def test_lines_on_standard_input_are_ingested_to_the_last(folder: Path) -> None:
    with process(folder, "watch", "-") as watch:
        out, _ = watch.communicate(CSV + "cam-3,resnet50,-1,2026-01-01")
    assert watch.returncode == 0
    assert "standard input: 2 rows added of 3, 1 rejected" in out
    (listed,) = folder.glob("stdin-*.rejected.csv")
    assert "latency_ms" in listed.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_what_was_done_kept(folder: Path, number: int) -> None:
    words = ("watch", "in", "--every", "0.2", "--rest", "0", "--metrics-port", "0")
    with process(folder, *words) as watch:
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


def test_history_is_pruned_when_somebody_says_yes(hdap: Hdap, folder: Path) -> None:
    rows = [f"cam-1,resnet50,{10 + n % 7},2020-01-01T00:{n:02}:00Z" for n in range(60)]
    (folder / "t.csv").write_text(HEADER + "\n".join(rows) + "\n")
    assert hdap("ingest", "t.csv", db="t.db").exit_code == 0
    seen = hdap("prune-history", "--keep", "12w", db="t.db")
    assert "would go" in seen.stdout
    assert "hdap prune-history --keep 2016h --yes" in seen.stdout
    for words, removed in ((["--yes"], 51), ([], 0)):
        done = hdap("prune-history", "--json", *words, db="t.db")
        assert json.loads(done.stdout)["removed"] == removed
    wrong = hdap("prune-history", "--keep", "soon", db="t.db")
    assert wrong.exit_code == 2
    assert "such as 90d" in wrong.stderr
