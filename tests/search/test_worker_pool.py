"""Several processes search one study; whatever dies, every finished trial counts once."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.records import ClusteringRecord, StudyRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.driver.ledger import LocalLedger
from hdap.search.driver.optuna_ledger import OptunaLedger
from hdap.search.driver.optuna_storage import open_storage
from hdap.search.driver.run_search import SearchProgress, drive, run_search
from hdap.search.driver.worker_pool import WorkerPool
from hdap.search.problem.budget import band
from hdap.search.problem.evaluation import joined
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace

HOST = """
import pickle, sys
from pathlib import Path
from hdap.fleet_data.store import Store
from hdap.search.driver.optuna_ledger import OptunaLedger
from hdap.search.driver.optuna_storage import open_storage
from hdap.search.driver.run_search import drive
from hdap.search.driver.worker_pool import WorkerPool

class Reporting(OptunaLedger):
    def add(self, trials):
        for row in range(len(trials)):
            super().add(trials.take(np.array([row])))
            print(json.dumps(trials.counts[row].tolist()), flush=True)

import json
import numpy as np

if __name__ == "__main__":
    path, storage, url, study, limit = sys.argv[1:]
    problem = pickle.loads(Path(path).read_bytes())
    with Store.open(url) as store:
        ledger = Reporting(open_storage(storage), "shared", problem, int(limit))
        def keep(batch, state):
            store.append_trials(int(study), batch, state, again=True)
        pool = WorkerPool(problem, 1, seed=1, host=ledger.host)
        result = drive(pool, ledger, on_batch=keep)
        assert result.stopped == "finished", result.stopped
        store.finish_study(int(study), "finished")
"""
KILLED_BY_US = -signal.SIGKILL


def test_workers_find_exactly_as_many_trials_as_asked_for_each_once(
    fitted_problem: SearchProblem,
) -> None:
    batches: list[TrialBatch] = []
    told: list[SearchProgress] = []
    result = drive(
        WorkerPool(fitted_problem, 2),
        LocalLedger(230),
        on_batch=lambda b, _: batches.append(b),
        progress=told.append,
    )
    assert result.stopped == "finished"
    assert result.trials is not None
    assert result.trials.number.tolist() == list(range(230))
    assert sorted(joined(*batches).number.tolist()) == list(range(230))
    same = (result.trials.counts == fitted_problem.uniform).all(axis=1)
    assert same.sum() == 1
    assert told[-1].done == 230
    assert result.scored > 230
    one = run_search(fitted_problem, trials=100).trials
    assert one is not None
    assert result.trials.ucb_ms.min() < np.median(one.ucb_ms)


def test_workers_of_a_small_space_stop_when_nothing_new_is_left(
    fitted_problem: SearchProblem,
) -> None:
    architecture = fitted_problem.architecture
    space = SearchSpace.build(
        architecture, 8, fixed={g.name: g.width for g in architecture.groups[2:]}
    )
    dense = int(fitted_problem.repair.flops(space.widest[None])[0])
    small = replace(fitted_problem, space=space, band=band(dense, 0.02))
    assert small.every is not None
    result = drive(WorkerPool(small, 2, "random"), LocalLedger(10**6))
    assert result.stopped == "exhausted"
    assert result.trials is not None
    assert sorted(result.trials.counts.tolist()) == small.every.tolist()
    assert result.trials.number.tolist() == list(range(len(small.every)))


@pytest.mark.parametrize("sampler", ["tpe", "ncs"])
def test_workers_serve_every_kind_of_sampler_and_go_on_after_a_resume(
    fitted_problem: SearchProblem, sampler: str
) -> None:
    first = run_search(fitted_problem, sampler, trials=20).trials
    assert first is not None
    ledger = LocalLedger(45, first)
    result = drive(WorkerPool(fitted_problem, 2, sampler), ledger)
    assert result.trials is not None
    assert result.trials.number.tolist() == list(range(45))
    assert np.array_equal(result.trials.counts[:20], first.counts)


def test_the_others_go_on_when_a_worker_is_killed(fitted_problem: SearchProblem) -> None:
    notes: list[str] = []
    batches: list[TrialBatch] = []

    def kill_one(progress: SearchProgress) -> None:
        if progress.done and not notes:
            child = multiprocessing.active_children()[0]
            os.kill(int(child.pid or 0), signal.SIGKILL)

    result = drive(
        WorkerPool(fitted_problem, 3, note=notes.append),
        LocalLedger(900),
        on_batch=lambda b, _: batches.append(b),
        progress=kill_one,
    )
    assert result.stopped == "finished"
    assert sorted(joined(*batches).number.tolist()) == list(range(900))
    assert any("killed by signal 9" in note for note in notes)


def test_the_last_worker_that_dies_ends_the_search_and_keeps_what_was_found(
    fitted_problem: SearchProblem,
) -> None:
    batches: list[TrialBatch] = []

    def kill_all(progress: SearchProgress) -> None:
        for child in multiprocessing.active_children() if progress.done else ():
            os.kill(int(child.pid or 0), signal.SIGKILL)

    with pytest.raises(HdapError, match="killed by signal 9"):
        drive(
            WorkerPool(fitted_problem, 1),
            LocalLedger(10**6),
            on_batch=lambda b, _: batches.append(b),
            progress=kill_all,
        )
    kept = joined(*batches)
    assert kept.number.tolist() == list(range(len(kept)))
    assert not multiprocessing.active_children()


def test_ctrl_c_ends_the_workers_and_keeps_what_was_found(fitted_problem: SearchProblem) -> None:
    batches: list[TrialBatch] = []

    def interrupt(progress: SearchProgress) -> None:
        if progress.done >= 100:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    result = drive(
        WorkerPool(fitted_problem, 2),
        LocalLedger(10**6),
        on_batch=lambda b, _: batches.append(b),
        progress=interrupt,
    )
    assert result.stopped == "interrupted"
    assert result.trials is not None
    assert len(joined(*batches)) == len(result.trials) >= 100
    assert not multiprocessing.active_children()


def test_a_timeout_ends_a_search_by_workers(fitted_problem: SearchProblem) -> None:
    result = drive(WorkerPool(fitted_problem, 1), LocalLedger(10**6), timeout=0.5)
    assert result.stopped == "timeout"


@pytest.mark.parametrize(("workers", "timeout"), [(0, None), (1, 0.0)])
def test_what_is_out_of_range_is_refused(
    fitted_problem: SearchProblem, workers: int, timeout: float | None
) -> None:
    with pytest.raises(InputError, match="must hold"):
        drive(WorkerPool(fitted_problem, workers), LocalLedger(5), timeout=timeout)


def test_trials_of_a_process_that_died_before_storing_them_are_stored_by_the_next(
    fitted_problem: SearchProblem, tmp_path: Path
) -> None:
    found = run_search(fitted_problem, trials=12).trials
    assert found is not None
    place = str(tmp_path / "a.journal")
    OptunaLedger(open_storage(place), "a", fitted_problem, 20).add(found)
    batches: list[TrialBatch] = []
    ledger = OptunaLedger(open_storage(place), "a", fitted_problem, 12)
    result = drive(WorkerPool(fitted_problem, 1), ledger, on_batch=lambda b, _: batches.append(b))
    assert result.stopped == "finished"
    assert np.array_equal(joined(*batches).counts, found.counts)


def _study(store: Store, architecture: Architecture, clusters: int) -> int:
    store.save_architecture(architecture)
    clustering = store.save_clustering(
        ClusteringRecord(
            algorithm="kmeans",
            parameters={},
            seed=0,
            created_at=datetime.now(UTC),
            measurement_mark=0,
            stability=float("nan"),
            device_ids=np.array([], dtype=object),
            cluster=np.array([], dtype=np.int64),
            outlier=np.array([], dtype=np.bool_),
            representative=np.array([], dtype=np.bool_),
            factor=np.array([]),
            features=(),
            fingerprint=np.empty((0, 0)),
            clusters=(),
        )
    )
    record = StudyRecord(
        name="shared",
        model=architecture.model,
        sampler="fleet",
        seed=1,
        objective="mean",
        flops_low=0,
        flops_high=1,
        kept_importance_floor=0.0,
        clustering_id=clustering,
        settings={},
        created_at=datetime.now(UTC),
    )
    return store.create_study(record)


def test_four_processes_on_postgresql_lose_no_trial_and_count_none_twice_when_one_is_killed(
    postgres: Any, fitted_problem: SearchProblem, tmp_path: Path
) -> None:
    limit = 48
    url = postgres.create_space()
    job = tmp_path / "problem"
    job.write_bytes(pickle.dumps(fitted_problem))
    with Store.open(url) as store:
        study = _study(store, fitted_problem.architecture, 4)
    open_storage(url)
    logs = [tmp_path / f"{i}.log" for i in range(4)]
    hosts = []
    for log in logs:
        with log.open("w") as out:
            arguments = [sys.executable, "-c", HOST, job, url, url, str(study), str(limit)]
            hosts.append(subprocess.Popen(list(map(str, arguments)), stdout=out))
    _wait_for(lambda: logs[0].read_text().count("\n") >= 3, hosts)
    hosts[0].kill()
    assert hosts[0].wait() == KILLED_BY_US
    assert [host.wait(timeout=200) for host in hosts[1:]] == [0, 0, 0]
    lines = [line for log in logs for line in log.read_text().splitlines()]
    offered = {tuple(json.loads(line)) for line in lines}
    with Store.open(url) as store:
        trials = store.trials(study)
        assert store.study("shared").state == "finished"
    assert (np.diff(trials.number) > 0).all()
    assert len(np.unique(trials.counts, axis=0)) == len(trials) == limit
    # what the killed process entered last it may not have lived to say
    assert sum(tuple(counts) not in offered for counts in trials.counts.tolist()) <= 1


def _wait_for(happened: Callable[[], bool], processes: list[subprocess.Popen[Any]]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        assert all(p.poll() is None for p in processes)
        time.sleep(0.05)


def test_a_batch_that_could_not_be_stored_is_offered_again(fitted_problem: SearchProblem) -> None:
    offered: list[list[int]] = []

    def on_batch(batch: TrialBatch, _: Mapping[str, Any]) -> None:
        offered.append(batch.number.tolist())
        if len(offered) == 1:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        drive(WorkerPool(fitted_problem, 1), LocalLedger(10**6), on_batch=on_batch)
    assert len(offered) == 2
    assert offered[1][: len(offered[0])] == offered[0]


def test_a_worker_that_cannot_work_says_why_without_a_traceback(
    fitted_problem: SearchProblem, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = replace(fitted_problem, start=np.ones(3, dtype=np.int64))
    with pytest.raises(HdapError, match=r"the last ended: .*Error"):
        drive(WorkerPool(broken, 1), LocalLedger(50))
    assert "Traceback" not in capfd.readouterr().err
