"""From what a person asks of a search to the search problem: budgets, space, floor, objective."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Bools
from hdap.search.problem.budget import FlopsBand, band, parse_flops
from hdap.search.problem.durations import parse_ms
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import FLOPS, parse_goals
from hdap.search.problem.proxies import proxy
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_profile import SearchProfile, profile
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import least_share
from hdap.surrogate.models.base import FleetSurrogate

if TYPE_CHECKING:
    from hdap.fleet_data.architecture import Architecture
    from hdap.requests.search_request import SearchRequest


def asked_band(request: "SearchRequest", architecture: "Architecture") -> FlopsBand:
    """The FLOPs that a request allows.

    A budget is a band that is spent, but only a cap beside a latency budget or where FLOPs are an
    objective themselves; without one the cap is then the dense model.

    Raises:
        InputError: there is no budget at all, or it is no number.
        InfeasibleError: it is above the dense model.
    """
    capped = request.latency is not None or FLOPS in parse_goals(request.objective).names
    dense = int(flops(architecture, architecture.widths[None, :])[0])
    if request.flops is None and not capped:
        raise InputError("a search needs a budget, but got none: give --flops, --latency or both")
    budget = dense if request.flops is None else parse_flops(request.flops, dense)
    return FlopsBand(1, budget) if capped else band(budget, request.tolerance)


def build_search_problem(
    request: "SearchRequest",
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
    limit = None
    if request.latency is not None:
        limit = parse_ms(request.latency, "a latency budget", "20ms")
    share = least_share(architecture, allowed, _fits(request, limit, latency, fleet))
    step = request.step or latency.step
    space = SearchSpace.build(architecture, step, request.min_width, request.fixed, share)
    space = space.within(request.limits)
    if allowed.low == 1:
        least = int(flops(architecture, space.smallest[None, :])[0])
        allowed = replace(allowed, low=min(least, allowed.high))
    problem = SearchProblem.build(
        space,
        allowed,
        latency,
        fleet,
        importance.judged_by(proxy(request.proxy), architecture),
        floor=request.floor,
        objective=request.objective,
        risk=request.risk,
        limit_ms=limit,
    )
    # A budget out of reach is said here, before anyone waits for it.
    return problem, profile(space, allowed, problem.uniform)


def objective_text(problem: SearchProblem) -> str:
    """The objective as the store names it: `p95`, `mean,kept`, `kept within p95 20 ms`."""
    if problem.limit_ms is None:
        return problem.objective
    return f"kept within {problem.objective} {problem.limit_ms:g} ms"


def _fits(
    request: "SearchRequest", limit: float | None, latency: FleetSurrogate, fleet: FleetWeights
) -> Callable[[Counts], Bools] | None:
    """Which configurations meet the latency budget, doubt included; None where there is none."""
    if limit is None:
        return None
    objective = parse_goals(request.objective).first

    def fits(counts: Counts) -> Bools:
        found = latency.predict(counts)
        cautious = np.exp(found.log_ms + request.risk * found.log_sd)
        return np.asarray(objective.of(fleet, cautious) <= limit)

    return fits
