import json
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from typer.testing import Result

from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]


@pytest.fixture
def running(searched: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`hdap dashboard` as a person starts it, and its address."""
    command = [sys.executable, "-m", "hdap", "dashboard", "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [*command, "--db", str(searched)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    address = next(word for word in lines[1].split() if word.startswith("http"))
    yield process, address
    process.kill()
    process.communicate()


def test_it_serves_the_page_and_the_studies_and_ends_with_ctrl_c(
    running: tuple[subprocess.Popen[str], str], searched: Path
) -> None:
    process, address = running
    with urllib.request.urlopen(f"{address}dashboard") as page:
        assert b"optuna" in page.read().lower()
    elsewhere = urllib.request.Request(f"{address}api/studies", headers={"Host": "example.org"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(elsewhere)
    with urllib.request.urlopen(f"{address}api/studies") as answer:
        (study,) = json.load(answer)["study_summaries"]
    with urllib.request.urlopen(f"{address}api/studies/{study['study_id']}?after=0") as answer:
        trials = json.load(answer)["trials"]
    with Store.open(str(searched), read_only=True) as store:
        stored = store.trials(store.study().id)
    assert study["study_name"] == store_name(searched)
    assert [t["values"][0] for t in trials] == pytest.approx(stored.ucb_ms.tolist())
    feasible = [max(t["constraints"]) <= 0 for t in trials]
    assert feasible == stored.feasible.tolist()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out.strip(), err) == (0, "stopped", "")


def store_name(path: Path) -> str:
    with Store.open(str(path), read_only=True) as store:
        return store.study().name


def test_a_port_in_use_is_one_line(hdap: Hdap, searched: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = hdap("dashboard", "--port", str(port), "--no-browser", db=searched)
    assert done.exit_code == 1
    assert f"{port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.output


def test_a_copy_waits_for_no_writer_and_is_what_optuna_reads(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "studies.log"
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    done = hdap("dashboard", "--out", str(journal), db=database)
    writer.execute("ROLLBACK")
    assert done.exit_code == 0, done.output
    with Store.open(str(database), read_only=True) as store:
        record = store.study()
        stored = store.trials(record.id)
        groups = [g.name for g in store.architecture(record.model).groups]
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name=record.name, storage=storage)
    assert study.user_attrs["model"] == "resnet50"
    assert study.user_attrs["latency"] == "predicted, ms"
    trials = study.get_trials()
    assert [[t.params[g] for g in groups] for t in trials] == stored.counts.tolist()
    best = study.best_trial
    assert best.value == pytest.approx(stored.ucb_ms[stored.feasible].min())
    assert best.user_attrs["fleet_mean_ms"] == pytest.approx(stored.fleet_mean_ms[best.number])
    again = hdap("dashboard", "--out", str(journal), db=database)
    assert (again.exit_code, "must be new" in again.stderr) == (1, True)


def test_a_front_is_copied_with_all_its_objectives(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    asked = ("--model", "resnet50", "--flops", "1.0G", "--objective", "mean,kept")
    assert hdap("search", *asked, "--trials", "60", "--study", "front", db=database).exit_code == 0
    journal = tmp_path / "front.log"
    done = hdap("dashboard", "--study", "front", "--out", str(journal), db=database)
    assert done.exit_code == 0, done.output
    study = optuna.load_study(
        study_name="front", storage=JournalStorage(JournalFileBackend(str(journal)))
    )
    with Store.open(str(database), read_only=True) as store:
        stored = store.trials(store.study("front").id)
    assert stored.values is not None
    assert [t.values for t in study.trials] == stored.values.tolist()
    assert study.user_attrs["objective"] == "mean,kept"


def test_without_a_study_it_says_what_makes_one(hdap: Hdap, tmp_path: Path) -> None:
    Store.open(str(tmp_path / "hdap.db")).close()
    done = hdap("dashboard", "--port", "0", db=tmp_path / "hdap.db")
    assert done.exit_code == 1
    assert "hdap search" in done.stderr


def test_a_study_that_is_not_there_leaves_no_journal(hdap: Hdap, searched: Path) -> None:
    out = searched.with_name("none.log")
    done = hdap("dashboard", "--study", "nothing", "--out", str(out), db=searched)
    assert done.exit_code == 1
    assert not out.exists()
