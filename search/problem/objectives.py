"""What a search minimises: one number for each configuration, from the clusters' latencies."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.search.problem.budget import parse_ms
from hdap.search.problem.fleet_weights import FleetWeights

KEPT = "kept"
FLOPS = "flops"
ACCURACY = "accuracy"
"""Objectives beside latency, only together with one: kept importance and accuracy (more is better;
kept importance stands in for accuracy until a network is evaluated), FLOPs."""
BESIDE = (KEPT, FLOPS, ACCURACY)
MOST = 3
FORMS = "mean, p95, worst, cvar:0.9 or deadline:30ms"


class Objective(ABC):
    """`of` maps latencies of K clusters (`n x K`, ms, all > 0) to `n` numbers > 0, less is better.

    It must grow with every cluster's latency. `reported` is what a person reads of it: milliseconds
    where `unit` is `ms`, and where it is `share` a share of the fleet's weight, of which more is
    better.
    """

    unit = "ms"

    @property
    @abstractmethod
    def title(self) -> str:
        """What `reported` is, in a few words."""

    @abstractmethod
    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        """One number a configuration: `n x K` -> `n`."""

    def reported(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        """What a person reads: `n x K` -> `n`."""
        return self.of(fleet, cluster_ms)


class MeanLatency(Objective):
    """The device-weighted mean."""

    title = "fleet mean"

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.fleet_mean(cluster_ms)


class P95(Objective):
    """What 95 % of the weight of devices does not exceed."""

    title = "p95 of devices"

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.percentile(cluster_ms)


class Worst(Objective):
    """The slowest cluster."""

    title = "worst cluster"

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.worst(cluster_ms)[0]


@dataclass(frozen=True)
class Cvar(Objective):
    """The mean over the slowest devices, those beyond the share `level` of the weight."""

    level: float

    @property
    def title(self) -> str:
        return f"mean of slowest {100 * (1 - self.level):.4g} %"

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.tail_mean(cluster_ms, self.level)


@dataclass(frozen=True)
class Deadline(Objective):
    """The share of the weight of devices that takes longer than `ms`, a share of 0..1.

    Many configurations share one such number, so `TIE` times a smooth version of it is added: a
    device of latency t counts `1 / (1 + (ms / t)^STEEPNESS)` there, a half at the deadline. So a
    search knows where to go on a plateau, and among equal shares the faster network wins.
    """

    ms: float
    TIE = 1e-3
    STEEPNESS = 4.0
    unit = "share"

    @property
    def title(self) -> str:
        return f"within {self.ms:.6g} ms"

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        late = fleet.late_share(cluster_ms, self.ms)
        return late + self.TIE * fleet.soft_late_share(cluster_ms, self.ms, self.STEEPNESS)

    def reported(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return 1.0 - fleet.late_share(cluster_ms, self.ms)


OBJECTIVES: dict[str, Objective] = {"mean": MeanLatency(), "p95": P95(), "worst": Worst()}
_LEVEL = re.compile(r"0?\.\d+", re.A)


def parse_objective(text: str) -> Objective:
    """One latency objective: `mean`, `p95`, `worst`, `cvar:0.9` or `deadline:30ms`.

    Raises:
        InputError: `text` is none of them.
    """
    name, colon, argument = text.strip().partition(":")
    if name in OBJECTIVES and not colon:
        return OBJECTIVES[name]
    if name == "cvar":
        if not _LEVEL.fullmatch(argument) or not 0.0 < float(argument) < 1.0:
            raise InputError(
                f"`cvar:A` must name a share with 0 < A < 1, but got {text!r}: cvar:0.9 is the "
                f"mean over the slowest 10 % of the weight of devices"
            )
        return Cvar(float(argument))
    if name == "deadline":
        return Deadline(parse_ms(argument, "a deadline", "deadline:30ms"))
    raise InputError(f"the objective must be one of {FORMS}, but got objective={text!r}")


@dataclass(frozen=True)
class Goals:
    """One to three objectives of a search, in the order in which they were named in `text`.

    `objectives` are those that follow from latency alone, by place in `names`; one at least is
    there, None stands for the others.
    """

    text: str
    names: tuple[str, ...]
    objectives: tuple[Objective | None, ...]

    @property
    def several(self) -> bool:
        """Whether the answer is a front and not one network."""
        return len(self.names) > 1

    @cached_property
    def latencies(self) -> tuple[Objective, ...]:
        """The latency objectives."""
        return tuple(o for o in self.objectives if o is not None)

    @property
    def first(self) -> Objective:
        """The first latency objective."""
        return self.latencies[0]

    @property
    def first_alone(self) -> "Goals":
        """The first latency objective and no other."""
        place = self.objectives.index(self.first)
        return Goals(self.names[place], (self.names[place],), (self.first,))

    def blended(
        self, fleet: FleetWeights, cluster_ms: Floats, weights: tuple[float, ...]
    ) -> Floats:
        """Weighted geometric mean of the latency objectives, the first alone without weights."""
        if not weights:
            return self.first.of(fleet, cluster_ms)
        each = [o.of(fleet, cluster_ms) for o in self.latencies]
        found: Floats = np.exp(
            sum(w * np.log(x) for w, x in zip(weights, each, strict=True) if w > 0.0)
        )
        return found


def parse_goals(text: str) -> Goals:
    """Objectives by name, separated by commas: `mean`, `mean,kept`, `mean,p95,flops`.

    Raises:
        InputError: one is unknown or named twice, there are more than three, or none is a latency.
    """
    names = tuple(part.strip() for part in text.split(","))
    if len(set(names)) < len(names) or len(names) > MOST:
        raise InputError(
            f"one to {MOST} different objectives must be named, but got objective={text!r}: "
            f"such as mean,{KEPT}"
        )
    objectives = tuple(None if name in BESIDE else parse_objective(name) for name in names)
    if all(objective is None for objective in objectives):
        raise InputError(
            f"at least one objective must be a latency ({FORMS}), but got objective={text!r}: "
            f"such as mean,{KEPT}"
        )
    return Goals(text, names, objectives)


MEAN = parse_goals("mean")
"""The device-weighted mean alone: what is minimised where nobody says otherwise."""
