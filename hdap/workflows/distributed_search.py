"""A search by several processes, on this machine or on many: who works, and who keeps the study."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.records import TrialBatch
from hdap.workflows.judge_accuracy import accuracy_judge
from hdap.workflows.search_fleet import Search, SearchRequest, new_search, resumed_search

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.search.driver.ledger import Ledger
    from hdap.search.driver.run_search import SearchProgress, SearchResult
    from hdap.search.problem.accuracy import Judging
    from hdap.search.problem.search_problem import SearchProblem


@dataclass(frozen=True)
class WorkerPool:
    """`workers` processes of this machine. With `storage`, Optuna keeps the study there and other
    machines may join it; without, this process keeps it."""

    workers: int = 1
    storage: str | None = None

    @property
    def alone(self) -> bool:
        """Whether one process searches, and nobody can join it."""
        return self.workers == 1 and self.storage is None


def join_search(
    store: "Store", request: SearchRequest, name: str | None, storage: str, say: Say
) -> Search:
    """A new study, or the stored one of that name if it asks for the same: whoever starts first
    makes it, and all others, started with the same command, join it.

    A new study is stored only when `storage` can be reached and has none of that name that searches
    another problem.

    Raises:
        InputError: the study of that name asks for something else, or is complete.
        StoreError: the storage cannot be reached.
    """
    from hdap.search.driver.optuna_ledger import check_shared
    from hdap.search.driver.optuna_storage import open_storage, storage_faults

    def admit(name: str, problem: "SearchProblem", judges: "Judging | None") -> None:
        with storage_faults(storage):
            check_shared(open_storage(storage), name, problem, judges)

    if name is None:
        return new_search(store, request, None, say, admit)
    if not _exists(store, name):
        try:
            return new_search(store, request, name, say, admit)
        except InputError:
            if not _exists(store, name):  # else another machine was faster
                raise
    joined = resumed_search(store, name, request.trials, say)
    # What was left open is stored as it was settled.
    step, floor = request.step or joined.request.step, request.floor
    floor = joined.request.floor if floor is None else floor
    if joined.request != replace(request, step=step, floor=floor):
        raise InputError(
            f"study {name} must ask for the same on every machine that joins it, but it was "
            f"started with other options: give --resume {name}, or choose another name"
        )
    return joined


def run_distributed(
    store: "Store",
    search: Search,
    crew: WorkerPool,
    timeout: float | None,
    progress: Callable[["SearchProgress"], None],
    say: Say,
) -> "SearchResult":
    """Run a search with several processes; trials are stored at most a second after they are known.

    Every process that joined a study stores all of its trials, those of the others included; each
    lands once. Where accuracy counts, this process proposes and the workers judge.

    Raises:
        StoreError: the storage cannot be reached.
        InputError: its study is another one, or accuracy cannot be judged.
    """
    from hdap.search.driver.optuna_storage import storage_faults
    from hdap.search.driver.shared_driver import run_shared
    from hdap.search.driver.worker_pool import run_workers

    def keep(batch: TrialBatch, state: Mapping[str, Any]) -> None:
        store.append_trials(search.record.id, batch, state, again=crew.storage is not None)

    before = None if search.before is None else search.before.trials
    asked = search.request
    with (
        accuracy_judge(store, asked, search.problem, crew.workers) as judges,
        storage_faults(crew.storage or ""),
    ):
        ledger, host = _ledger(search, crew, before, judges)
        if crew.storage is not None:
            say(
                f"other machines join with: hdap search --resume {search.record.name} --storage ..."
            )
        result = (
            run_workers(
                search.problem,
                ledger,
                crew.workers,
                asked.sampler,
                timeout=timeout,
                seed=asked.seed,
                before=before,
                on_batch=keep,
                progress=progress,
                note=say,
                host=host,
            )
            if judges is None
            else run_shared(
                search.problem,
                ledger,
                judges,
                asked.sampler,
                timeout=timeout,
                seed=asked.seed,
                before=before,
                on_batch=keep,
                progress=progress,
                host=host,
            )
        )
    store.finish_study(search.record.id, "finished" if result.stopped == "finished" else "stopped")
    return result


def _ledger(
    search: Search, crew: WorkerPool, before: TrialBatch | None, judges: "Judging | None"
) -> tuple["Ledger", int]:
    """The ledger, and a number that makes the seeds of this process's workers its own."""
    from hdap.search.driver.ledger import LocalLedger
    from hdap.search.driver.optuna_ledger import OptunaLedger
    from hdap.search.driver.optuna_storage import open_storage

    done = 0 if before is None else len(before)
    limit = search.request.trials
    if crew.storage is None:
        return LocalLedger(limit, before), done
    storage = open_storage(crew.storage)
    shared = OptunaLedger(storage, search.record.name, search.problem, limit, done, judges)
    return shared, shared.host


def _exists(store: "Store", name: str) -> bool:
    try:
        store.study(name)
    except NotFoundError:
        return False
    return True
