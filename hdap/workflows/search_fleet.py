"""A search from what a person asks to what is stored: the problem, the study, the answer."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.records import ClusteringRecord, Floats, StudyRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.requests.search_request import IMPORTANCE, LEARNED, SearchRequest, request_of
from hdap.search.driver.ledger import Ledger, LocalLedger
from hdap.search.driver.optuna_ledger import OptunaLedger, check_shared
from hdap.search.driver.optuna_storage import open_storage, storage_faults
from hdap.search.driver.proposal_source import InProcess, ProposalSource
from hdap.search.driver.run_search import ResumeState, SearchProgress, SearchResult, drive
from hdap.search.driver.worker_pool import WorkerPool, worker_seed
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_profile import SearchProfile
from hdap.workflows.build_problem import (
    PreparedSearch,
    measured_dense,
    objective_text,
    prepare_search,
    stored_problem,
    study_that_answers,
)
from hdap.workflows.judge_accuracy import accuracy_goal, load_evaluator
from hdap.workflows.learn_accuracy import AccuracyLesson, stored_lesson

if TYPE_CHECKING:
    from hdap.workflows.accuracy_evaluator import AccuracyEvaluator


@dataclass(frozen=True)
class Search:
    """A search that is ready to run: `record` is the stored study, `before` its earlier trials,
    `dense_ms` the dense model as measured on each of K clusters, `evaluator` the network and the
    data of accuracy where they are loaded already, `lesson` what tunings taught of accuracy."""

    request: SearchRequest
    record: StudyRecord
    problem: SearchProblem
    profile: SearchProfile
    clustering: ClusteringRecord
    dense_ms: Floats
    before: ResumeState | None = None
    evaluator: "AccuracyEvaluator | None" = None
    lesson: AccuracyLesson | None = None


def new_search(
    store: Store,
    request: SearchRequest,
    name: str | None,
    say: Say,
    storage: str | None = None,
    workers: int = 1,
) -> Search:
    """Prepare a search and store a new study; what is refused leaves none behind.

    Where networks are tuned first, `workers` processes tune them.

    With `storage`, where several machines search, the study of that name is joined if it asks for
    the same: whoever starts first makes it, and all others, started with the same command, join.

    Raises:
        InputError: as `prepare_search`, or the study of that name asks for something else, or is
            complete.
        StoreError: the storage cannot be reached.
    """
    if storage is not None and name is not None and _exists(store, name):
        return _joined_search(store, request, name, say)
    try:
        return store_study(store, prepare_search(store, request, say, workers), name, storage)
    except InputError:
        if storage is None or name is None or not _exists(store, name):
            raise
        return _joined_search(store, request, name, say)  # another machine was faster


def store_study(
    store: Store, prepared: PreparedSearch, name: str | None, storage: str | None = None
) -> Search:
    """Store a new study of what was prepared. Raises as `new_search`."""
    request, problem, clustering = prepared.request, prepared.problem, prepared.clustering
    evaluator = load_evaluator(request, problem)
    elsewhere: Collection[str] = ()
    with accuracy_goal(store, request, problem, loaded=evaluator) as accuracy:
        if storage is not None:
            with storage_faults(storage):
                elsewhere = check_shared(open_storage(storage), name, problem, accuracy)
    settled: dict[str, Any] = asdict(request.with_floor(problem.floor, problem.space.step))
    if prepared.lesson is not None:
        settled[LEARNED] = prepared.lesson.settings
    record = StudyRecord(
        name=name or _default_name(request),
        model=request.model,
        sampler=request.sampler,
        seed=request.seed,
        objective=objective_text(problem),
        flops_low=problem.band.low,
        flops_high=problem.band.high,
        kept_importance_floor=problem.floor,
        clustering_id=clustering.id,
        settings=settled | {IMPORTANCE: problem.importance.source},
        created_at=datetime.now(UTC),
    )
    record = store.study(store.create_study(record, numbered=name is None, elsewhere=elsewhere))
    dense_ms = measured_dense(store, record)
    return Search(
        request,
        record,
        problem,
        prepared.profile,
        clustering,
        dense_ms,
        evaluator=evaluator,
        lesson=prepared.lesson,
    )


def resumed_search(store: Store, study: str, trials: int | None, say: Say) -> Search:
    """Take a stored study up where it was left, with the clustering and surrogates it began with.

    Raises:
        NotFoundError: there is no such study, or its surrogates are gone.
        InputError: it already has as many trials as asked for.
    """
    record = store.study(study)
    if request_of(record).networks is not None:
        raise InputError(
            f"a study of several networks for one deadline is planned at once, so {record.name} "
            f"cannot be gone on with: search again, or see who runs what: hdap assign --study "
            f"{record.name}"
        )
    done = store.trials(record.id)
    wanted = trials or request_of(record).trials
    if len(done) >= wanted:
        raise InputError(
            f"`--trials` must exceed the {len(done):,} trials that study {record.name} has, "
            f"but got {wanted:,}; give more to go on"
        )
    say(f"resuming study {record.name} after {len(done):,} trials")
    search = _stored_search(store, record, done)
    return replace(search, request=replace(search.request, trials=wanted))


def run(
    store: Store,
    search: Search,
    timeout: float | None,
    progress: Callable[[SearchProgress], None],
    workers: int = 1,
    storage: str | None = None,
    say: Say = lambda _: None,
) -> SearchResult:
    """Run a search; trials are stored at most a second after they were found.

    Several `workers` search with a process each; where accuracy counts this process searches, and
    they evaluate it. With `storage` Optuna keeps the study there and other machines may join; every
    process that joined stores all of its trials, each once.

    Raises:
        StoreError: the storage cannot be reached.
        InputError: its study is another one, or the network or the data to evaluate accuracy on
            cannot be had.
        HdapError: all workers died.
    """
    request, problem = search.request, search.problem
    before = None if search.before is None else search.before.trials

    def keep(batch: TrialBatch, state: Mapping[str, Any]) -> None:
        store.append_trials(search.record.id, batch, state, again=storage is not None)

    with (
        accuracy_goal(store, request, problem, workers, search.evaluator) as accuracy,
        storage_faults(storage or ""),
    ):
        ledger: Ledger
        if storage is None:
            ledger = LocalLedger(request.trials, before)
        else:
            name, place = search.record.name, open_storage(storage)
            ledger = OptunaLedger(place, name, problem, request.trials, before, accuracy)
            say(f"other machines join with: hdap search --resume {name} --storage ...")
        seed = request.seed
        source: ProposalSource
        few = problem.every is not None and request.sampler == "fleet"
        if accuracy is None and (workers > 1 or ledger.shared) and not few:
            source = WorkerPool(problem, workers, request.sampler, seed, ledger.host, say)
        else:
            seed = worker_seed(seed, ledger.host, 0) if ledger.shared else seed
            source = InProcess(problem, request.sampler, seed, accuracy)
        if not source.resumable:
            say(
                f"sampler {request.sampler}: should this search be interrupted, --resume goes on "
                f"from its trials, but not to those that it would have found"
            )
        alone = isinstance(source, InProcess) and not ledger.shared
        result = drive(
            source,
            ledger,
            state=search.before.sampler_state if search.before and alone else {},
            timeout=timeout,
            patience=request.patience if alone else None,
            on_batch=keep,
            progress=progress,
        )
    complete = result.stopped in ("finished", "exhausted")
    store.finish_study(search.record.id, "finished" if complete else "stopped")
    return result


def find_or_run(
    store: Store, request: SearchRequest, say: Say, progress: Callable[[SearchProgress], None]
) -> tuple[Search, SearchResult]:
    """The newest finished study that answers the request, else a new one.

    Raises as `prepare_search`, and KeyboardInterrupt where the search was interrupted.
    """
    prepared = prepare_search(store, request, say)
    record = study_that_answers(store, prepared)
    if record is not None:
        say(f"study {record.name} is current")
        trials = store.trials(record.id)
        result = SearchResult(trials, record.sampler_state, "finished", 0, 0.0)
        return _stored_search(store, record, trials), result
    search = store_study(store, prepared, None)
    result = run(store, search, None, progress)
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return search, result


def _joined_search(store: Store, request: SearchRequest, name: str, say: Say) -> Search:
    joined = resumed_search(store, name, request.trials, say)
    step, floor = request.step or joined.request.step, request.floor
    floor = joined.request.floor if floor is None else floor
    if joined.request != request.with_floor(floor, step):
        raise InputError(
            f"study {name} must ask for the same on every machine that joins it, but it was "
            f"started with other options: give --resume {name}, or choose another name"
        )
    return joined


def _stored_search(store: Store, record: StudyRecord, trials: TrialBatch) -> Search:
    problem, profile = stored_problem(store, record)
    before = ResumeState(trials, record.sampler_state)
    clustering, dense_ms = store.clustering(record.clustering_id), measured_dense(store, record)
    lesson = stored_lesson(store, record, problem)
    request = request_of(record)
    return Search(request, record, problem, profile, clustering, dense_ms, before, lesson=lesson)


def _exists(store: Store, name: str) -> bool:
    try:
        store.study(name)
    except NotFoundError:
        return False
    return True


def _default_name(request: SearchRequest) -> str:
    asked = [text for text in (request.flops, request.latency) if text] or ["front"]
    return f"{request.model}-{'-'.join(asked).replace(' ', '').replace('%', 'pct')}"
