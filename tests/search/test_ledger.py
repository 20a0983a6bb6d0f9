from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages._grpc.server import make_server
from optuna.trial import TrialState

from hdap.fleet_data.errors import InputError, StoreError
from hdap.fleet_data.records import TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.driver.ledger import Ledger, LocalLedger
from hdap.search.driver.optuna_ledger import OptunaLedger
from hdap.search.driver.optuna_storage import open_storage
from hdap.search.driver.proposal_source import trials_of
from hdap.search.problem.evaluation import joined
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import counts_of
from tests.fixtures.free_port import free_port

Make = Callable[[int], Ledger]
STORAGES = ["journal", "sqlite", "postgresql", "grpc"]


@pytest.fixture
def problem(make_problem: Callable[..., SearchProblem]) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


@pytest.fixture
def some(problem: SearchProblem) -> TrialBatch:
    rng = np.random.default_rng(3)
    return trials_of(problem, problem.repair(problem.space.random(7, rng)))


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    with ExitStack() as opened:

        def make(kind: str) -> str:
            if kind == "journal":
                return str(tmp_path / "a.journal")
            if kind == "sqlite":
                return f"sqlite:///{tmp_path}/optuna.db"
            space: str = request.getfixturevalue("postgres").create_space()
            return space if kind == "postgresql" else opened.enter_context(_proxy(space))

        yield make


@contextmanager
def _proxy(url: str) -> Iterator[str]:
    with ThreadPoolExecutor(4) as pool:
        port = free_port()
        server = make_server(open_storage(url), "localhost", port, pool)
        server.start()
        yield f"grpc://localhost:{port}"
        server.stop(None).wait()


@pytest.fixture(params=STORAGES)
def url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    return new_url(request.param)


@pytest.fixture(params=["local", *STORAGES])
def make(
    request: pytest.FixtureRequest, new_url: Callable[[str], str], problem: SearchProblem
) -> Make:
    if request.param == "local":
        return LocalLedger
    storage = open_storage(new_url(request.param))
    return lambda limit: OptunaLedger(storage, "a", problem, limit)


def same(one: TrialBatch | None, other: TrialBatch) -> bool:
    return (
        one is not None
        and np.array_equal(one.counts, other.counts)
        and np.allclose(one.cluster_ms, other.cluster_ms)
        and bool(np.all(one.started_at == other.started_at))
        and bool(np.all(one.finished_at == other.finished_at))
    )


def test_every_ledger_numbers_trials_in_order_and_tells_each_once(
    make: Make, some: TrialBatch
) -> None:
    ledger = make(100)
    assert ledger.news() is None
    ledger.add(some.take(np.arange(3)))
    assert ledger.done == 3
    first = ledger.news()
    ledger.add(some.take(np.arange(3, 7)))
    second = ledger.news()
    assert first is not None
    assert second is not None
    both = joined(first, second)
    assert both.number.tolist() == list(range(7))
    assert same(both, some)
    assert ledger.news() is None


def test_every_ledger_leaves_out_what_exceeds_its_limit(make: Make, some: TrialBatch) -> None:
    ledger = make(4)
    ledger.add(some.take(np.arange(3)))
    ledger.add(some.take(np.arange(3, 7)))
    ledger.add(some)
    assert ledger.done == 4
    assert same(ledger.news(), some.take(np.arange(4)))


def test_two_ledgers_of_one_study_share_numbers_and_trials(
    url: str, problem: SearchProblem, some: TrialBatch
) -> None:
    one = OptunaLedger(open_storage(url), "a", problem, 6)
    other = OptunaLedger(open_storage(url), "a", problem, 6)
    assert one.host != other.host
    for i in range(3):
        one.add(some.take(np.array([2 * i])))
        other.add(some.take(np.array([2 * i + 1])))
    assert same(one.news(), some.take(np.arange(6)))
    assert same(other.news(), some.take(np.arange(6)))
    one.add(some.take(np.array([6])))
    assert one.done == other.done == 6
    assert one.news() is None


def test_any_reader_of_optunas_storage_sees_what_a_trial_is(
    url: str, problem: SearchProblem, some: TrialBatch
) -> None:
    OptunaLedger(open_storage(url), "a", problem, 9).add(some.take(np.arange(2)))
    study = optuna.load_study(study_name="a", storage=open_storage(url))
    trial = study.trials[1]
    assert trial.state is TrialState.COMPLETE
    assert trial.value == pytest.approx(some.ucb_ms[1])
    assert np.array_equal(counts_of(problem.space, trial.params), some.counts[1])
    assert trial.user_attrs["flops"] == some.flops[1]
    assert trial.user_attrs["kept_importance"] == pytest.approx(some.kept_importance[1])
    assert f"conv_stem={some.counts[1, 0]}" in trial.user_attrs["channels"]
    assert (trial.constraints["kept_importance"] == 0.0) == bool(some.feasible[1])
    # as optuna-dashboard reads them
    assert trial.system_attrs["constraints"] == [trial.constraints["kept_importance"]]


@pytest.mark.parametrize("url", ["journal"], indirect=True)
def test_a_study_of_another_problem_is_refused(url: str, problem: SearchProblem) -> None:
    OptunaLedger(open_storage(url), "a", problem, 9)
    with pytest.raises(InputError, match=r"another floor, risk"):
        OptunaLedger(open_storage(url), "a", replace(problem, risk=0.0, floor=0.1), 9)


@pytest.mark.parametrize("url", ["journal"], indirect=True)
def test_a_storage_that_lacks_trials_of_the_study_is_refused(
    url: str, problem: SearchProblem, some: TrialBatch
) -> None:
    OptunaLedger(open_storage(url), "a", problem, 9).add(some)
    OptunaLedger(open_storage(url), "a", problem, 9, before=some)
    more = joined(some, replace(some.take(np.arange(1)), number=np.array([7])))
    with pytest.raises(InputError, match="all 8 trials"):
        OptunaLedger(open_storage(url), "a", problem, 9, before=more)


def test_optunas_tables_keep_apart_from_hdaps_in_one_postgresql_database(
    postgres: Any, problem: SearchProblem, some: TrialBatch
) -> None:
    url = postgres.create_space()
    with Store.open(url) as store:
        OptunaLedger(open_storage(url), "a", problem, 9).add(some)
        assert store.query("SELECT count(*) FROM trials").rows == ((0,),)
    again = OptunaLedger(open_storage(url), "a", problem, 9)
    assert same(again.news(), some)


def test_hdaps_own_sqlite_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hdap.db"
    Store.open(f"sqlite:///{path}").close()
    with pytest.raises(StoreError, match="another file"):
        open_storage(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://x/y", "SQLite or PostgreSQL"),
        ("grpc://nowhere", "HOST:PORT"),
        ("postgresql://u:secret@127.0.0.1:1/x", "not reachable"),
        ("/no/such/folder/a.journal", "folder does not"),
    ],
)
def test_a_storage_that_cannot_be_is_one_clear_line(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
