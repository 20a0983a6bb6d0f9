"""From what a person asks of a search to the search problem, whether it is new or stored."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.configuration import matching_groups
from hdap.fleet_data.costs import flops, format_flops
from hdap.fleet_data.errors import InfeasibleError, InputError, NotFoundError
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, StudyRecord
from hdap.fleet_data.store import Store
from hdap.requests.search_request import IMPORTANCE, SearchRequest, request_of
from hdap.search.analysis.per_cluster import check_per_cluster
from hdap.search.driver.run_search import check_patience
from hdap.search.exact.most_kept import check_floor
from hdap.search.problem.budget import FlopsBand, band, parse_flops, parse_ms
from hdap.search.problem.enumeration import reached
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import FLOPS, Goals, Objective, parse_goals
from hdap.search.problem.proxies import proxy
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_profile import SearchProfile, profile
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import least_share
from hdap.search.samplers.registry import SAMPLERS, check_goals
from hdap.search.sizes.sizes_problem import LEAST_SHARE
from hdap.surrogate.models.base import FleetSurrogate, fleet_step
from hdap.surrogate.models.registry import load_surrogate
from hdap.workflows.artifacts import ensure_importance, measured_architecture
from hdap.workflows.fleet_artifacts import ensure_clustering, ensure_surrogates
from hdap.workflows.fleet_as_asked import fleet_weights
from hdap.workflows.judge_accuracy import check_accuracy
from hdap.workflows.learn_accuracy import (
    AccuracyLesson,
    learn_accuracy,
    stored_importance,
)

FINEST_FOR_ROOM = 8
"""What is finer than the lanes of most processors is taken only where a budget asks for it: it
brings no more there, and is predicted worse."""
MOST_AT_NARROWEST = 0.5


@dataclass(frozen=True)
class PreparedSearch:
    """The problem that a request poses on the fleet as it is now; nothing is stored of it yet."""

    request: SearchRequest
    problem: SearchProblem
    profile: SearchProfile
    clustering: ClusteringRecord
    lesson: AccuracyLesson | None = None


def prepare_search(
    store: Store, request: SearchRequest, say: Say, workers: int = 1
) -> PreparedSearch:
    """Make every stage current, and pose the problem; so many processes tune where that is asked.

    Raises:
        NotEnoughDataError: nothing, or too little, was measured of the model.
        InfeasibleError: no configuration meets the budget.
        InputError, NotFoundError: a setting is out of range or names what is not there.
    """
    kind = SAMPLERS[request.sampler]
    goals = parse_goals(request.objective)
    check_patience(request.patience, goals)
    check_accuracy(request, goals)
    architecture = measured_architecture(store, request.model, say)
    budget = asked_band(request, goals, architecture)
    clustering = ensure_clustering(store, say)
    latency = ensure_surrogates(store, architecture, clustering, say, request.surrogate)
    weights = Path(request.weights) if request.weights else None
    importance = ensure_importance(store, architecture, weights, request.pretrained, say)
    fleet = fleet_weights(store, request, clustering, say)
    problem, profile = build_search_problem(request, goals, budget, latency, fleet, importance)
    lesson, asked = None, request
    if request.learned:
        lesson = learn_accuracy(store, request, problem, workers, say)
        asked, importance = lesson.asked(request), lesson.importance
        problem, profile = build_search_problem(asked, goals, budget, latency, fleet, importance)
    if request.tolerance is not None and problem.band.low < budget.low:
        say(
            f"nothing on the grid lies within {100 * request.tolerance:g} % below the budget of "
            f"{format_flops(budget.high)} FLOPs: the nearest that does not exceed it has "
            f"{format_flops(problem.band.low)}"
        )
    if asked.floor is not None:
        check_floor(problem)
    check_per_cluster(request.per_cluster, problem)
    check_goals(problem, kind)
    return PreparedSearch(request, problem, profile, clustering, lesson)


def study_that_answers(store: Store, prepared: PreparedSearch) -> StudyRecord | None:
    """The newest finished study that asked for the same on the clustering, the surrogates and the
    importance of now; None where there is none."""
    request, problem = prepared.request, prepared.problem
    settled = request.with_floor(problem.floor, problem.space.step)
    surrogates = store.surrogates(request.model, prepared.clustering.id, request.surrogate)
    fitted = max(surrogate.created_at for surrogate in surrogates)

    def answers(record: StudyRecord) -> bool:
        return (
            (record.model, record.state) == (request.model, "finished")
            and record.clustering_id == prepared.clustering.id
            and record.created_at >= fitted
            and record.settings[IMPORTANCE] == problem.importance.source
            and request_of(record) == settled
        )

    def still_says(record: StudyRecord) -> bool:
        """Weights of devices may have come without a new row."""
        first = store.trials(record.id).take(np.arange(1))
        now = problem.evaluate(first.counts).fleet_mean_ms
        return bool(np.allclose(now, first.fleet_mean_ms, rtol=1e-9, atol=0.0))

    found = (record for record in reversed(store.studies()) if answers(record))
    return next((record for record in found if still_says(record)), None)


def asked_band(request: SearchRequest, goals: Goals, architecture: Architecture) -> FlopsBand:
    """The FLOPs that a request allows.

    A budget is a ceiling, of which a tolerance says how much has to be spent. Beside a latency
    budget, or where FLOPs are an objective themselves, it is the dense model where none is given.

    Raises:
        InputError: there is no budget at all, or it is no number.
        InfeasibleError: it is above the dense model.
    """
    capped = request.latency is not None or FLOPS in goals.names
    dense = int(flops(architecture, architecture.widths[None, :])[0])
    if request.flops is None and not capped:
        raise InputError("a search needs a budget, but got none: give --flops, --latency or both")
    budget = dense if request.flops is None else parse_flops(request.flops, dense)
    return band(budget, None if request.flops is None else request.tolerance)


def build_search_problem(
    request: SearchRequest,
    goals: Goals,
    allowed: FlopsBand,
    latency: FleetSurrogate,
    fleet: FleetWeights,
    importance: Importance,
) -> tuple[SearchProblem, SearchProfile]:
    """The problem and what a person can check before waiting.

    Raises:
        InputError: a setting is out of range.
        InfeasibleError: no configuration meets the budgets.
    """
    architecture = latency.architecture
    limit, floor, share = None, request.floor, LEAST_SHARE
    if request.networks is not None:
        floor = floor or 0.0  # each of them keeps what its deadline allows
    else:
        if request.latency is not None:
            limit = parse_ms(request.latency, "a latency budget", "20ms")
        fits = _fits(request, goals.first, limit, latency, fleet)
        share = least_share(architecture, allowed, fits)
    step = request.step or latency.step
    if request.fleet_as is not None and not request.step:
        step = fleet_step(latency.steps, fleet.shares.sum(axis=1))
    _require_a_reason_to_be_large(request, goals)
    importance = importance.with_proxy(proxy(request.proxy), architecture)

    def posed(step: int) -> SearchProblem:
        space, within = _space(request, architecture, step, share, allowed)
        return SearchProblem.build(
            space,
            within,
            latency,
            fleet,
            importance,
            floor=floor,
            goals=goals,
            risk=request.risk,
            limit_ms=limit,
            floor_share=request.floor_share,
        )

    problem = posed(step) if request.step else _on_a_grid_with_room(posed, step)
    # A budget out of reach is said here, before anyone waits for it.
    return problem, profile(problem.space, problem.band, problem.uniform, problem.every)


def _space(
    request: SearchRequest, architecture: Architecture, step: int, share: float, allowed: FlopsBand
) -> tuple[SearchSpace, FlopsBand]:
    """The grid of `step` and the band that it reaches. Raises InfeasibleError where it holds no
    network as small as the budget."""
    whole = matching_groups(architecture, request.keep)
    widths = {g.name: g.width for g in architecture.groups if g.name in whole}
    fixed = widths | dict(request.fixed)
    space = SearchSpace.build(architecture, step, request.min_width, fixed, share)
    space = space.within(request.limits)
    wanted = allowed
    if allowed.low == 1:
        least = int(flops(architecture, space.smallest[None, :])[0])
        wanted = replace(allowed, low=min(least, allowed.high))
    return space, reached(space, wanted)


def _on_a_grid_with_room(posed: Callable[[int], SearchProblem], step: int) -> SearchProblem:
    """The problem on the measurements' grid, halved where that holds nothing within the budget,
    and where its uniform network is hardly wider than the narrowest: what is left to choose from
    would be worse than the base line on a finer grid.

    Raises InfeasibleError where no grid holds anything within the budget.
    """
    try:
        problem = posed(step)
        if step <= FINEST_FOR_ROOM or problem.narrowest_share <= MOST_AT_NARROWEST:
            return problem
    except InfeasibleError:
        if step == 1:
            raise
    return _on_a_grid_with_room(posed, step // 2)


def _require_a_reason_to_be_large(request: SearchRequest, goals: Goals) -> None:
    """Raise InputError where the narrowest network is the answer whatever was measured, or where
    there is no base line's floor to lower."""
    asked = request.latency is not None or request.judged or goals.several
    if request.floor == 0.0 and request.tolerance is None and not asked:
        raise InputError(
            "a search for the fastest network must keep some quality or spend its budget, but got "
            "floor=0.0, and a budget is a ceiling: give a floor above 0, or --flops-tol 0.03"
        )
    other = next(
        (flag for flag in ("floor", "latency", "data") if getattr(request, flag) is not None), None
    )
    if request.floor_share < 1.0 and other is not None:
        raise InputError(
            f"--floor-share lowers the floor that the best uniform network sets, but got it beside "
            f"--{other}, which sets another: leave one out"
        )


def objective_text(problem: SearchProblem) -> str:
    """The objective as the store names it: `p95`, `mean,kept`, `kept within p95 20 ms`."""
    if problem.limit_ms is None:
        return problem.goals.text
    return f"kept within {problem.goals.text} {problem.limit_ms:g} ms"


def stored_problem(store: Store, record: StudyRecord) -> tuple[SearchProblem, SearchProfile]:
    """The problem of a stored study, with the clustering, surrogates and importance it began with.

    Raises NotFoundError where its surrogates or its importance are no longer stored.
    """
    request, architecture = request_of(record), store.architecture(record.model)
    records = store.surrogates(record.model, record.clustering_id, request.surrogate)
    if not records:
        raise NotFoundError(
            f"the surrogates of clustering {record.clustering_id} must be stored to go on with "
            f"study {record.name}, but are not; start a new search"
        )
    payloads = tuple(r.payload for r in records)
    latency = load_surrogate(request.surrogate, architecture, payloads)
    importance = stored_importance(store, record, architecture)
    budget = FlopsBand(record.flops_low, record.flops_high)
    clustering = store.clustering(record.clustering_id)
    fleet = fleet_weights(store, request, clustering)
    goals = parse_goals(request.objective)
    return build_search_problem(request, goals, budget, latency, fleet, importance)


def measured_dense(store: Store, record: StudyRecord) -> Floats:
    """The dense model on the typical device of each of K clusters, as measured (NaN: never)."""
    kind = str(record.settings["surrogate"])
    found = store.surrogates(record.model, record.clustering_id, kind)
    return np.array([surrogate.dense_ms for surrogate in found])


def _fits(
    request: SearchRequest,
    objective: Objective,
    limit: float | None,
    latency: FleetSurrogate,
    fleet: FleetWeights,
) -> Callable[[Counts], Bools] | None:
    """Which configurations meet the latency budget, doubt included; None where there is none."""
    if limit is None:
        return None

    def fits(counts: Counts) -> Bools:
        found = latency.predict(counts)
        cautious = np.exp(found.log_ms + request.risk * found.log_sd)
        return np.asarray(objective.of(fleet, cautious) <= limit)

    return fits
