"""`hdap search` that is killed, joined and interrupted, as a person does it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
from typer.testing import Result

from hdap.fleet_data.records import TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.driver.optuna_storage import open_storage

Hdap = Callable[..., Result]
SEARCH = ("search", "--model", "resnet50", "--flops", "1.0G")
DEADLINE_SECONDS = 120


def _start(database: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hdap", *SEARCH, "--db", str(database), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _trials(database: Path, study: str) -> TrialBatch:
    with Store.open(str(database)) as store:
        return store.trials(store.study(study).id)


def _wait_for_trials(database: Path, study: str, least: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    query = "SELECT count(*) FROM trials WHERE study = '" + study + "'"
    with Store.open(str(database)) as store:
        while store.query(query).rows[0][0] < least:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_search_that_was_killed_resumes_to_the_trials_of_one_that_never_was(
    hdap: Hdap, database: Path
) -> None:
    killed = _start(database, "--study", "killed", "--trials", "1000000", "--seed", "5")
    _wait_for_trials(database, "killed", 1)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    left = len(_trials(database, "killed"))
    wanted = str(left + 170)
    resumed = hdap("search", "--resume", "killed", "--trials", wanted, db=database)
    assert resumed.exit_code == 0, resumed.output
    whole = hdap(*SEARCH, "--study", "whole", "--trials", wanted, "--seed", "5", db=database)
    assert whole.exit_code == 0, whole.output
    one, other = _trials(database, "killed"), _trials(database, "whole")
    assert np.array_equal(one.number, other.number)
    assert np.array_equal(one.counts, other.counts)
    assert np.array_equal(one.fleet_mean_ms, other.fleet_mean_ms)


def test_several_workers_search_one_study_that_a_journal_keeps_and_others_join(
    hdap: Hdap, database: Path
) -> None:
    journal = database.with_name("optuna.journal")
    command = (*SEARCH, "--study", "shared", "--trials", "60", "--storage", str(journal))
    first = _start(database, *command[len(SEARCH) :])
    _wait_for_trials(database, "shared", 1)
    joined = hdap(*command, "--workers", "2", db=database)
    assert first.wait(DEADLINE_SECONDS) == 0
    # it may have come too late
    assert joined.exit_code == 0 or "must exceed the 60 trials" in joined.output, joined.output
    assert _trials(database, "shared").number.tolist() == list(range(60))
    study = optuna.load_study(study_name="shared", storage=open_storage(str(journal)))
    assert len(study.trials) >= 60
    other = hdap(*command, "--seed", "9", db=database)
    assert other.exit_code == 1


def test_ctrl_c_ends_all_workers_and_keeps_what_was_found(database: Path) -> None:
    process = _start(database, "--study", "stopped", "--trials", "1000000", "--workers", "2")
    _wait_for_trials(database, "stopped", 100)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_SECONDS) == 130
    trials = _trials(database, "stopped")
    assert trials.number.tolist() == list(range(len(trials)))
    with Store.open(str(database)) as store:
        assert store.study("stopped").state == "stopped"
