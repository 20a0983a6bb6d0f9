"""A search from what a person asks to what is stored: the problem, the study, the answer."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.records import ClusteringRecord, Floats, StudyRecord, TrialBatch
from hdap.requests.search_request import IMPORTANCE, SearchRequest, request_of
from hdap.search.analysis.answer import Answer, answer
from hdap.search.analysis.per_cluster import check_per_cluster
from hdap.search.analysis.single_cluster_baseline import (
    SingleClusterBaseline,
    single_cluster_baseline,
)
from hdap.search.driver.run_search import ResumeState, SearchProgress, SearchResult, run_search
from hdap.search.exact.lower_bound import lower_bound
from hdap.search.problem.accuracy import Judging
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_profile import SearchProfile
from hdap.search.samplers.registry import check_goals, sampler_kind
from hdap.surrogate.models.registry import load_surrogate
from hdap.workflows.artifacts import (
    ensure_clustering,
    ensure_importance,
    ensure_surrogates,
    measured_architecture,
)
from hdap.workflows.build_problem import asked_band, build_search_problem, objective_text
from hdap.workflows.judge_accuracy import accuracy_judge, check_accuracy

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

__all__ = [
    "Admit",
    "Search",
    "SearchRequest",
    "certified",
    "measured_dense",
    "new_search",
    "resumed_search",
    "run",
    "stored_problem",
    "summarize_search",
]

Admit = Callable[[str, SearchProblem, Judging | None], None]
"""Refuses a study of that name by raising; gets its problem and who judges accuracy in it."""


@dataclass(frozen=True)
class Search:
    """A search that is ready to run: `record` is the stored study, `before` its earlier trials,
    `dense_ms` the dense model as measured on each of K clusters."""

    request: SearchRequest
    record: StudyRecord
    problem: SearchProblem
    profile: SearchProfile
    clustering: ClusteringRecord
    dense_ms: Floats
    before: ResumeState | None = None


def new_search(
    store: "Store",
    request: SearchRequest,
    name: str | None,
    say: Say,
    admit: Admit | None = None,
) -> Search:
    """Make every stage current and store a new study; what is refused leaves none behind.

    `admit` is asked before the study is stored, and refuses it by raising.

    Raises:
        NotEnoughDataError: nothing, or too little, was measured of the model.
        InfeasibleError: no configuration meets the budget.
        InputError, NotFoundError: a setting is out of range or names what is not there.
    """
    kind = sampler_kind(request.sampler)
    name = name or _free_name(store, request)
    check_accuracy(request)
    architecture = measured_architecture(store, request.model, say)
    budget = asked_band(request, architecture)
    clustering = ensure_clustering(store, say)
    latency = ensure_surrogates(store, architecture, clustering, say, request.surrogate)
    weights = Path(request.weights) if request.weights else None
    importance = ensure_importance(store, architecture, weights, request.pretrained, say)
    fleet = FleetWeights.of(clustering, store.devices())
    problem, found = build_search_problem(request, budget, latency, fleet, importance)
    check_per_cluster(request.per_cluster, problem)
    check_goals(problem, kind)
    with accuracy_judge(store, request, problem, workers=1) as judges:
        if admit:
            admit(name, problem, judges)
    resolved = {"step": problem.space.step, "floor": problem.floor, IMPORTANCE: importance.source}
    record = StudyRecord(
        name=name,
        model=request.model,
        sampler=request.sampler,
        seed=request.seed,
        objective=objective_text(problem),
        flops_low=problem.band.low,
        flops_high=problem.band.high,
        kept_importance_floor=problem.floor,
        clustering_id=clustering.id,
        settings=asdict(request) | resolved,
        created_at=datetime.now(UTC),
    )
    record = replace(record, id=store.create_study(record))
    return Search(request, record, problem, found, clustering, measured_dense(store, record))


def resumed_search(store: "Store", study: str, trials: int | None, say: Say) -> Search:
    """Take a stored study up where it was left, with the clustering and surrogates it began with.

    Raises:
        NotFoundError: there is no such study, or its surrogates are gone.
        InputError: it already has as many trials as asked for.
    """
    record = store.study(study)
    wanted = trials or int(record.settings["trials"])
    done = store.trials(record.id)
    if len(done) >= wanted:
        raise InputError(
            f"`--trials` must exceed the {len(done):,} trials that study {record.name} has, "
            f"but got {wanted:,}; give more to go on"
        )
    say(f"resuming study {record.name} after {len(done):,} trials")
    problem, found = stored_problem(store, record)
    request = replace(request_of(record), trials=wanted)
    clustering = store.clustering(record.clustering_id)
    before = ResumeState(done, record.sampler_state)
    dense_ms = measured_dense(store, record)
    return Search(request, record, problem, found, clustering, dense_ms, before)


def run(
    store: "Store",
    search: Search,
    timeout: float | None,
    progress: Callable[[SearchProgress], None],
    workers: int = 1,
) -> SearchResult:
    """Run a search; trials are stored at most a second after they were found.

    Where accuracy counts, `workers` processes judge it. Raises InputError where the network or the
    data to judge it on cannot be had.
    """

    def keep(batch: TrialBatch, state: Mapping[str, Any]) -> None:
        store.append_trials(search.record.id, batch, state)

    with accuracy_judge(store, search.request, search.problem, workers) as judges:
        result = run_search(
            search.problem,
            search.request.sampler,
            trials=search.request.trials,
            timeout=timeout,
            seed=search.request.seed,
            on_batch=keep,
            progress=progress,
            resume=search.before,
            patience=search.request.patience,
            judging=judges,
        )
    store.finish_study(search.record.id, "finished" if result.stopped == "finished" else "stopped")
    return result


def summarize_search(search: Search, result: SearchResult) -> tuple[Answer, SingleClusterBaseline]:
    """The answer of a finished or stopped search, and what fleet-single_cluster_baseline was worth.

    Raises:
        InfeasibleError: no trial keeps the floor within the band.
    """
    if result.trials is None:
        raise InputError("the search was stopped before its first trial; let it run longer")
    found = answer(search.problem, result.trials, search.dense_ms)
    return found, single_cluster_baseline(search.problem, found.found.counts, search.request.seed)


def certified(search: Search, found: Answer) -> float | None:
    """How far (a fraction) the answer is at most above the best possible for these surrogates.

    By what the search minimised, doubt included; None where nothing can be said (`lower_bound`).
    """
    bound = lower_bound(search.problem)
    if bound is None:
        return None
    return bound.gap(float(search.problem.ucb_ms(found.found.counts[None])[0]))


def stored_problem(store: "Store", record: StudyRecord) -> tuple[SearchProblem, SearchProfile]:
    """The problem of a stored study, with the clustering, surrogates and importance it began with.

    Raises NotFoundError where its surrogates or its importance are no longer stored.
    """
    source, request = str(record.settings[IMPORTANCE]), request_of(record)
    architecture = store.architecture(record.model)
    records = store.surrogates(record.model, record.clustering_id, request.surrogate)
    if not records:
        raise NotFoundError(
            f"the surrogates of clustering {record.clustering_id} must be stored to go on with "
            f"study {record.name}, but are not; start a new search"
        )
    payloads = tuple(r.payload for r in records)
    latency = load_surrogate(request.surrogate, architecture, payloads)
    importance = Importance.by_channels(architecture)
    if source != importance.source:
        importance = Importance(source, store.importance(record.model, source).curves)
    budget = FlopsBand(record.flops_low, record.flops_high)
    clustering = store.clustering(record.clustering_id)
    fleet = FleetWeights.of(clustering, store.devices())
    return build_search_problem(request, budget, latency, fleet, importance)


def measured_dense(store: "Store", record: StudyRecord) -> Floats:
    """The dense model on the typical device of each of K clusters, as measured (NaN: never)."""
    kind = str(record.settings["surrogate"])
    found = store.surrogates(record.model, record.clustering_id, kind)
    return np.array([surrogate.dense_ms for surrogate in found])


def _free_name(store: "Store", request: SearchRequest) -> str:
    taken = {study.name for study in store.studies()}
    asked = [text for text in (request.flops, request.latency) if text] or ["front"]
    stem = f"{request.model}-{'-'.join(asked).replace(' ', '').replace('%', 'pct')}"
    numbers = range(1, len(taken) + 2)
    return next(name for n in numbers if (name := f"{stem}-{n}") not in taken)
