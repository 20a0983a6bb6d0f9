"""The Pareto front: what no other trial beats in every objective."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Floats, Ints, TrialBatch
from hdap.search.problem.dominance import nondominated
from hdap.search.problem.objectives import ACCURACY, KEPT, Goals

AUGMENTED = 0.05
"""Weight of the sum beside the maximum: it keeps weakly dominated rows from being the balance."""


@dataclass(frozen=True)
class FrontRow:
    """One trial on a front. `values` are what was minimised, objective by objective, doubt
    included; `shown` the same as a person reads it (importance kept, share within the deadline);
    latencies are predicted, in ms; `balanced` marks the one nearest to the best of everything."""

    number: int
    values: tuple[float, ...]
    shown: tuple[float, ...]
    flops: int
    parameters: int
    fleet_mean_ms: float
    fleet_mean_low_ms: float
    fleet_mean_high_ms: float
    fleet_p95_ms: float
    kept_importance: float
    balanced: bool


def values_of(trials: TrialBatch) -> Floats:
    """What is minimised of n trials: their `values`, else fleet mean and importance given up.

    A study of one objective has a front too, that of `fleet_mean_ms` against kept importance.
    """
    if trials.values is not None and trials.values.shape[1] > 1:
        return trials.values
    return np.stack([trials.fleet_mean_ms, 1.0 - trials.kept_importance], axis=1)


def front_places(trials: TrialBatch) -> Ints:
    """Places of the feasible trials on the front, by their first objective."""
    feasible = np.flatnonzero(trials.feasible)
    values = values_of(trials)[feasible]
    chosen = np.flatnonzero(nondominated(values))
    return feasible[chosen[np.lexsort(values[chosen].T[::-1])]]


def best_first(trials: TrialBatch) -> Ints:
    """Places of the trials that are ranked, the best first; empty where none is feasible.

    By one objective all feasible trials, by what was stored of them, as the view `best_trials`
    ranks them: a trial is the best of its study wherever somebody looks. With several objectives
    the front, the balanced one first.
    """
    if trials.values is not None and trials.values.shape[1] > 1:
        places = front_places(trials)
        return places[distances(values_of(trials)[places]).argsort(kind="stable")]
    feasible = np.flatnonzero(trials.feasible)
    some = trials.take(feasible)
    return feasible[np.lexsort((some.number, some.ucb_ms, some.ranking))]


def distances(values: Floats) -> Floats:
    """How far the rows of a front (`n x m`) are from the best of every objective at once: `n`.

    Augmented weighted Chebyshev distance to the ideal point (Steuer and Choo, 1983), in units of
    the front's extent.
    """
    if not len(values):
        return np.empty(0)
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    found: Floats = scaled.max(axis=1) + AUGMENTED * scaled.sum(axis=1)
    return found


def front(trials: TrialBatch, goals: Goals) -> tuple[FrontRow, ...]:
    """The front of a study, by its first objective; empty where no trial is feasible."""
    places = front_places(trials)
    if not len(places):
        return ()
    values = values_of(trials)[places]
    names = front_names(trials, goals)
    balance = int(distances(values).argmin())
    return tuple(
        FrontRow(
            number=int(trials.number[at]),
            values=tuple(row.tolist()),
            shown=tuple(_shown(goals, n, float(v)) for n, v in zip(names, row, strict=True)),
            flops=int(trials.flops[at]),
            parameters=int(trials.parameters[at]),
            fleet_mean_ms=float(trials.fleet_mean_ms[at]),
            fleet_mean_low_ms=float(trials.fleet_mean_low_ms[at]),
            fleet_mean_high_ms=float(trials.fleet_mean_high_ms[at]),
            fleet_p95_ms=float(trials.fleet_p95_ms[at]),
            kept_importance=float(trials.kept_importance[at]),
            balanced=place == balance,
        )
        for place, (at, row) in enumerate(zip(places, values, strict=True))
    )


def front_names(trials: TrialBatch, goals: Goals) -> tuple[str, ...]:
    """Names of the columns of `values_of`."""
    several = trials.values is not None and trials.values.shape[1] > 1
    return goals.names if several else ("mean", KEPT)


def _shown(goals: Goals, name: str, value: float) -> float:
    if name in (KEPT, ACCURACY) or name.startswith("deadline"):
        return 1.0 - value
    return value
