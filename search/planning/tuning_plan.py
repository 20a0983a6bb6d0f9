"""Which networks are tuned to learn accuracy from: first varied ones, then what a search finds."""

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.analysis.spread import different
from hdap.search.driver.run_search import run_search
from hdap.search.problem.search_problem import SearchProblem

FIRST_SHARE = 2 / 3
"""Of all tunings, those that are chosen before anything is learned."""
SPREADS = (0.1, 0.7)
"""Standard deviations of the logarithm of the share that a drawn network keeps of a group: from
near uniform to what searches hardly ever answer."""
SMALLEST = 0.7
"""Drawn networks spend from so much of the budget to all of it, so that what size itself is worth
is learned too."""
SCALES = 256
TRIALS = 400


def first_tunings(problem: SearchProblem, count: int, seed: int) -> Counts:
    """`count` networks (or fewer, where the space has no more): the base line, then drawn ones that
    meet the budgets, distinct."""
    rng, base = np.random.default_rng(seed), problem.best_uniform.counts
    chosen = {base.tobytes(): base}
    for _ in range(8 * count):
        if len(chosen) == count:
            break
        shape = rng.uniform(*SPREADS) * rng.standard_normal(len(base))
        drawn = _widest(problem, shape, rng.uniform(SMALLEST, 1.0))
        if drawn is not None:
            chosen.setdefault(drawn.tobytes(), drawn)
    return np.stack(list(chosen.values()))


def guided_tunings(problem: SearchProblem, count: int, known: Counts, seed: int) -> Counts:
    """Up to `count` networks that a search of `problem` puts first, all different and none of
    `known` (`m x groups`)."""
    trials = run_search(problem, trials=TRIALS, seed=seed).trials
    groups = len(problem.architecture.groups)
    if trials is None or not trials.feasible.any():
        return np.empty((0, groups), dtype=np.int64)
    order = np.argsort(np.where(trials.feasible, trials.ranking, np.inf), kind="stable")
    best = trials.counts[order[: int(trials.feasible.sum())]]
    seen = {row.tobytes() for row in known}
    fresh = best[[row.tobytes() not in seen for row in best]]
    return fresh[different(fresh, count)] if len(fresh) else fresh


def _widest(problem: SearchProblem, shape: Floats, share: float) -> Counts | None:
    """The widest network of a shape (`groups` logarithms of shares) within so much of the budgets;
    None where even the narrowest is not."""
    space = problem.space
    scales = np.geomspace(1.0 / SCALES, 1.0, SCALES)[:, None]
    widths = np.minimum(scales * np.exp(shape - shape.min()), 1.0) * problem.architecture.widths
    rows = space.snap(widths)
    fits = problem.repair.flops(rows) <= share * problem.band.high
    if problem.limit_ms is not None:
        fits &= problem.ucb_ms(rows) <= share * problem.limit_ms
    found: Counts | None = rows[np.flatnonzero(fits)[-1]] if fits.any() else None
    return found
