"""Which surrogate each runtime and precision gets: the one with the least held-out error.

A state is learned from its own measurements alone unless something else is proven better on
configurations that no candidate has seen: the other states' measurements too, with a correction of
its own, or another kind of surrogate. Proven is a mean gain over configurations that chance does
not explain (a one-sided paired test). What nothing pruned was measured of has to borrow, and says
so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdap.clustering.grouping import compact, grouped_sum
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats
from hdap.fleet_data.wording import percent
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.state_surrogates import (
    PART_KINDS,
    AdditiveStates,
    Part,
    StateSurrogates,
    step_of,
)
from hdap.surrogate.training_data.training_cells import Cells, TrainingData
from hdap.surrogate.validation.cross_validation import HeldOut, cross_validate

PROVEN = 1.645
"""Standard errors of the mean gain: one-sided, chance explains as much in 5 % of cases."""
POOLED = "pooled"
"""Name of kind `fleet` fitted to all states, each with its own correction."""


@dataclass(frozen=True)
class StateChoice:
    """What `state` (runtime and precision) of `clusters` learns from and by what.

    `kind` is a kind of surrogate or `POOLED`; `errors` are the mean held-out errors of all that
    were tried, `borrows` the states whose measurements teach it too, `configurations` how many
    pruned ones of its own were held out in turn (0: none was measured).
    """

    state: str
    clusters: tuple[int, ...]
    kind: str
    errors: Mapping[str, float]
    borrows: tuple[str, ...]
    configurations: int

    @property
    def words(self) -> str:
        """What was chosen and why, in one line."""
        name, of = self.state or "unknown software", " and ".join(self.borrows)
        if not self.configurations:
            return f"{name}: no pruned network was measured; {of} stands for it, unproven"
        error = f"held-out error {percent(self.errors[self.kind])}"
        alone = self.errors.get(FleetModel.kind)
        if self.borrows and alone is None:
            return f"{name}: too few of its own, so {of} teaches it too, unproven ({error})"
        if self.borrows and alone is not None:
            return f"{name}: {of} teaches it too ({error}, {percent(alone)} alone)"
        by = "" if self.kind == FleetModel.kind else f", by {self.kind}"
        return f"{name}: learned alone{by} ({error}{self._others})"

    @property
    def _others(self) -> str:
        pooled = self.errors.get(POOLED)
        return "" if pooled is None else f", {percent(pooled)} with all others"


@dataclass(frozen=True)
class Chosen:
    """The choice of every state, and what the chosen ones said of held-out cells."""

    states: tuple[StateChoice, ...]
    held: HeldOut

    @property
    def plain(self) -> bool:
        """Whether one surrogate of kind `fleet` serves all, as if nothing had been chosen."""
        return all(s.kind == POOLED for s in self.states) or [s.kind for s in self.states] == [
            FleetModel.kind
        ]


def choose_by_state(data: TrainingData, seed: int = 0) -> Chosen:
    """Let candidates compete for every state of `data` on held-out configurations.

    Raises NotEnoughDataError where the fleet has too few pruned configurations to hold any out.
    """
    by_state = data.clusters_by_state
    whole = cross_validate(FleetModel, data, seed=seed)
    choices, held = [], []
    for state, clusters in by_state.items():
        others = tuple(name or "unknown software" for name in by_state if name != state)
        tried = _candidates(data, clusters, whole, bool(others), seed)
        kind = _best(tried)
        errors = {name: _mean_error(held) for name, held in tried.items() if len(held.cells)}
        mine = tried[kind]
        cells = len(np.unique(mine.cells.configuration))
        borrows = others if kind == POOLED else ()
        choices.append(StateChoice(state, clusters, kind, errors, borrows, cells))
        held.append(mine)
    return Chosen(tuple(choices), _joined(held))


def fit_chosen(data: TrainingData, chosen: Chosen, seed: int = 0) -> FleetSurrogate:
    """The surrogates that were chosen, fitted to all of `data`."""
    if chosen.plain:
        return FleetModel.fit(data, seed)
    borrowing = tuple(k for s in chosen.states if s.kind == POOLED for k in s.clusters)
    parts = []
    if borrowing:
        pooled = FleetModel.fit(data, seed)
        parts.append(Part(_only(pooled, borrowing), borrowing))
    for state in chosen.states:
        if state.kind != POOLED:
            own = PART_KINDS[state.kind].fit(data.of_clusters(state.clusters), seed)
            parts.append(Part(own, state.clusters))
    made = tuple(parts)
    additive = all(isinstance(p.surrogate, FleetModel) for p in made)
    kind = AdditiveStates if additive else StateSurrogates
    return kind(data.architecture, made, step_of(made, data.shares))


def _candidates(
    data: TrainingData, clusters: tuple[int, ...], whole: HeldOut, several: bool, seed: int
) -> dict[str, HeldOut]:
    """Held-out predictions of each candidate for these clusters, the one to beat first."""
    mine = np.isin(whole.cells.cluster, clusters)
    pooled = HeldOut(
        whole.cells.at(mine),
        whole.fold[mine],
        whole.predicted_log_ms[mine],
        whole.predicted_log_sd[mine],
    )
    if not several:
        found = {FleetModel.kind: pooled}
    else:
        found = _alone(data, clusters, FleetModel, seed) | {POOLED: pooled}
    for name, kind in PART_KINDS.items():
        if name not in found and FleetModel.kind in found:
            found |= _alone(data, clusters, kind, seed)
    return found


def _alone(
    data: TrainingData, clusters: tuple[int, ...], kind: type[FleetSurrogate], seed: int
) -> dict[str, HeldOut]:
    """What a kind says that learns from these clusters only; nothing where they are too few."""
    own = data.of_clusters(clusters)
    try:
        held = cross_validate(kind, own, seed=seed)
    except NotEnoughDataError:
        return {}
    number = np.array(clusters)
    cells = Cells(
        number[held.cells.cluster],
        held.cells.configuration,
        held.cells.counts,
        held.cells.log_ms,
        held.cells.rows,
    )
    moved = HeldOut(cells, held.fold, held.predicted_log_ms, held.predicted_log_sd)
    return {kind.kind: moved}


def _best(tried: Mapping[str, HeldOut]) -> str:
    """The first candidate, or the one that is proven better than it by most."""
    first, *rest = tried
    best, gain = first, 0.0
    for name in rest:
        mean, proven = _gain(tried[first], tried[name])
        if proven and mean > gain:
            best, gain = name, mean
    return best


def _mean_error(held: HeldOut) -> float:
    return float(np.abs(np.expm1(held.error)).mean())


def _gain(before: HeldOut, after: HeldOut) -> tuple[float, bool]:
    """How much less the error is, on average over configurations, and whether that is no chance."""
    errors = [_by_configuration(held) for held in (before, after)]
    less = errors[0] - errors[1]
    mean = float(less.mean())
    error = float(less.std(ddof=1)) / np.sqrt(len(less)) if len(less) > 1 else np.inf
    return mean, mean > PROVEN * error


def _by_configuration(held: HeldOut) -> Floats:
    """Mean absolute relative error of each configuration, in the order of their numbers."""
    group, size = compact(held.cells.configuration)
    error = np.abs(np.expm1(held.error))
    return grouped_sum(group, error, size) / np.bincount(group, minlength=size)


def _joined(held: list[HeldOut]) -> HeldOut:
    """All of them in the order of clusters and configurations."""

    def stacked(name: str) -> Any:
        return np.concatenate([getattr(h.cells, name) for h in held])

    names = ("cluster", "configuration", "counts", "log_ms", "rows")
    cells = Cells(*(stacked(name) for name in names))
    order = np.lexsort((cells.configuration, cells.cluster))
    rest = [
        np.concatenate([getattr(h, name) for h in held])[order]
        for name in ("fold", "predicted_log_ms", "predicted_log_sd")
    ]
    return HeldOut(cells.at(order), *rest)


def _only(model: FleetModel, clusters: tuple[int, ...]) -> FleetModel:
    payloads = model.payloads()
    return FleetModel.from_payloads(model.architecture, tuple(payloads[k] for k in clusters))
