"""Base line `roofline`: ridge regression on a handful of sums over layers, each cluster alone.

Sums: MACs, MACs with channels rounded up to 16 and to 8, numbers moved, MACs of layers whose input
is no multiple of 16, of 8. Latency is learned relative to the cluster's median.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.surrogate.learning.channel_alignment import paying_steps
from hdap.surrogate.learning.physics import TERMS, Physics
from hdap.surrogate.learning.pooled_cells import cells_by_cluster
from hdap.surrogate.models.base import FleetSurrogate, Prediction, fleet_step, pack, unpack
from hdap.surrogate.training_data.training_cells import Cells, TrainingData

SUMS = (("macs",), ("macs@8",), ("macs@16",), ("read", "written"), ("unaligned@8",),
        ("unaligned@16",))  # fmt: skip
ALPHA = 1e-3
LEAST_SHARE = 0.05
"""Predictions stay above this share of the smallest latency seen: a line may go below zero."""
ARRAYS = ("weights", "inverse", "mean", "size", "unit", "floor", "sd", "step", "fleet_step")


@dataclass(frozen=True)
class Line:
    """Ridge regression of one cluster: `latency / unit = [1, (sums - mean) / size] . weights`.

    `inverse` is the regularised inverse of the normal matrix, `sd` the relative residual."""

    weights: Floats
    inverse: Floats
    mean: Floats
    size: Floats
    unit: float
    floor: float
    sd: float

    @classmethod
    def through(cls, sums: Floats, cells: Cells) -> Self:
        """Fit to m cells with `sums` (m x S)."""
        latency = np.exp(cells.log_ms)
        unit = float(np.median(latency))
        mean, size = sums.mean(axis=0), np.maximum(sums.std(axis=0), 1e-9)
        design = np.hstack([np.ones((len(sums), 1)), (sums - mean) / size])
        ridge = ALPHA * len(sums) * np.diag([0.0] + [1.0] * sums.shape[1])
        inverse = np.linalg.inv(design.T @ design + ridge)
        weights = inverse @ design.T @ (latency / unit)
        error = design @ weights * unit / latency - 1.0
        freedom = max(len(sums) - design.shape[1], 1)
        sd = float(np.sqrt((error**2).sum() / freedom))
        return cls(weights, inverse, mean, size, unit, LEAST_SHARE * float(latency.min()), sd)

    def at(self, sums: Floats) -> tuple[Floats, Floats]:
        """Log latency and its standard deviation, n each; wider the farther from the cells."""
        design = np.hstack([np.ones((len(sums), 1)), (sums - self.mean) / self.size])
        leverage = np.einsum("nd,de,ne->n", design, self.inverse, design)
        log_ms = np.log(np.maximum(design @ self.weights * self.unit, self.floor))
        return log_ms, self.sd * np.sqrt(1.0 + leverage)


class Roofline(FleetSurrogate):
    """Kind `roofline`."""

    kind = "roofline"

    def __init__(
        self,
        architecture: Architecture,
        lines: tuple[Line, ...],
        steps: tuple[int, ...],
        step: int,
    ) -> None:
        super().__init__(architecture, steps, step)
        self._lines = lines
        self._physics = Physics(architecture)
        self._of_class = self._class_sizes()

    @classmethod
    def fit(cls, data: TrainingData, seed: int = 0) -> Self:
        empty = cls(data.architecture, (), (), 1)
        cells = cells_by_cluster(data)
        lines = tuple(Line.through(empty._sums(c.counts), c) for c in cells)
        bare = cls(data.architecture, lines, (1,) * data.clusters, 1)
        rng = np.random.default_rng(seed)
        steps = paying_steps(data.architecture, lambda c: bare._predict(c).log_ms, rng)
        return cls(data.architecture, lines, steps, fleet_step(steps, data.shares))

    def calibrated(self, factors: Floats) -> Self:
        lines = tuple(
            replace(line, sd=line.sd * float(factor))
            for line, factor in zip(self._lines, factors, strict=True)
        )
        return type(self)(self.architecture, lines, self.steps, self.step)

    def _predict(self, counts: Counts) -> Prediction:
        sums = self._sums(counts)
        both = [line.at(sums) for line in self._lines]
        return Prediction(np.stack([b[0] for b in both], 1), np.stack([b[1] for b in both], 1))

    def _sums(self, counts: Counts) -> Floats:
        totals = self._physics.terms(counts).totals()
        totals = totals.reshape(len(counts), len(self._of_class), len(TERMS))
        totals = (totals * self._of_class).sum(axis=1)
        each = [sum(totals[:, TERMS.index(name)] for name in names) for names in SUMS]
        return np.stack(each, axis=1)

    def _class_sizes(self) -> Floats:
        """Raw size of each class's terms at full width (`classes x terms`): sums are over all
        layers, whatever their class."""
        first = [
            int(np.argmax(self._physics.classes == c)) for c in np.unique(self._physics.classes)
        ]
        sizes = self._physics.scale[:, first].T
        result: Floats = sizes / sizes.sum(axis=0)
        return result

    def payloads(self) -> tuple[bytes, ...]:
        return tuple(
            pack(self.kind, vars(line) | {"step": step, "fleet_step": self.step})
            for line, step in zip(self._lines, self.steps, strict=True)
        )

    @classmethod
    def from_payloads(cls, architecture: Architecture, payloads: tuple[bytes, ...]) -> Self:
        parts = [unpack(cls.kind, payload, ARRAYS) for payload in payloads]
        lines = tuple(
            Line(*(p[n] for n in ARRAYS[:4]), *(float(p[n]) for n in ARRAYS[4:7])) for p in parts
        )
        steps = tuple(int(p["step"]) for p in parts)
        return cls(architecture, lines, steps, int(parts[0]["fleet_step"]))
