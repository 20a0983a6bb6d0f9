"""Boosted trees from raw pruning ratios to latency, each cluster alone: the base lines of others.

`hdap-gbrt` is HDAP's (arXiv 2501.15240, as its authors' experiments run it): gradient boosting with
100 trees, rate 0.1 and depth 3 to the cluster's latency. `xgboost-ratios` is XGBoost as it comes.
Neither knows an interval; theirs is the spread of held-out errors, wider the farther a
configuration is from the measured ones.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.surrogate.learning.pooled_cells import cells_by_cluster
from hdap.surrogate.models.base import FleetSurrogate, Prediction, pack, unpack
from hdap.surrogate.training_data.training_cells import Cells, TrainingData

ONE_IN = 3
"""Of so many cells one is held out to see the error."""
NEAREST_OF = 256
"""Measured configurations kept to judge distance by."""
STEP = 8
"""Trees on ratios cannot tell a staircase from noise: the grid is a common choice."""


class Trees(Protocol):
    """Boosted trees of one cluster."""

    def predict(self, ratios: Floats) -> Floats:
        """Milliseconds: `n x groups` -> `n`."""
        ...

    def arrays(self) -> dict[str, Any]:
        """All that prediction needs, as arrays."""
        ...


@dataclass(frozen=True)
class ClusterTrees:
    """Trees of one cluster, the ratios that they learned from (m x G), the typical distance of
    those to each other, the relative error, and the smallest latency seen."""

    trees: Trees
    seen: Floats
    distance: float
    sd: float
    floor: float

    def at(self, ratios: Floats) -> tuple[Floats, Floats]:
        """Log latency and its standard deviation, n each."""
        log_ms = np.log(np.maximum(self.trees.predict(ratios), self.floor))
        near = np.sqrt(_squared_distances(ratios, self.seen).min(axis=1)) / self.distance
        return log_ms, self.sd * np.sqrt(1.0 + np.maximum(near**2 - 1.0, 0.0))


class RatioTrees(FleetSurrogate):
    """Common part of the kinds that learn trees from ratios."""

    array_names: tuple[str, ...] = ()

    def __init__(self, architecture: Architecture, parts: tuple[ClusterTrees, ...]) -> None:
        super().__init__(architecture, (STEP,) * len(parts), STEP)
        self._parts = parts

    @classmethod
    @abstractmethod
    def _grow(cls, ratios: Floats, latency: Floats, seed: int) -> Trees:
        """Learn trees from m configurations."""

    @classmethod
    @abstractmethod
    def _trees(cls, arrays: dict[str, Any]) -> Trees:
        """Inverse of `Trees.arrays`."""

    @classmethod
    def fit(cls, data: TrainingData, seed: int = 0) -> Self:
        parts = [cls._fit_one(data.architecture, cells, seed) for cells in cells_by_cluster(data)]
        return cls(data.architecture, tuple(parts))

    @classmethod
    def _fit_one(cls, architecture: Architecture, cells: Cells, seed: int) -> ClusterTrees:
        rng = np.random.default_rng(seed)
        ratios, latency = _ratios(architecture, cells.counts), np.exp(cells.log_ms)
        held = rng.permutation(len(latency)) % ONE_IN == 0
        trees = cls._grow(ratios[~held], latency[~held], seed)
        error = trees.predict(ratios[held]) / latency[held] - 1.0
        seen = ratios[rng.permutation(len(ratios))[:NEAREST_OF]]
        between = _squared_distances(seen, seen)
        np.fill_diagonal(between, np.inf)
        distance = max(float(np.median(np.sqrt(between.min(axis=1)))), 1e-6)
        return ClusterTrees(
            trees=cls._grow(ratios, latency, seed),
            seen=seen,
            distance=distance,
            sd=float(np.sqrt((error**2).mean())),
            floor=float(latency.min()) / 2,
        )

    def calibrated(self, factors: Floats) -> Self:
        parts = zip(self._parts, factors, strict=True)
        return type(self)(
            self.architecture, tuple(replace(p, sd=p.sd * float(f)) for p, f in parts)
        )

    def _predict(self, counts: Counts) -> Prediction:
        ratios = _ratios(self.architecture, counts)
        both = [part.at(ratios) for part in self._parts]
        return Prediction(np.stack([b[0] for b in both], 1), np.stack([b[1] for b in both], 1))

    def payloads(self) -> tuple[bytes, ...]:
        names = ("seen", "distance", "sd", "floor")
        return tuple(
            pack(self.kind, part.trees.arrays() | {n: getattr(part, n) for n in names})
            for part in self._parts
        )

    @classmethod
    def from_payloads(cls, architecture: Architecture, payloads: tuple[bytes, ...]) -> Self:
        numbers = ("distance", "sd", "floor")
        names = (*cls.array_names, "seen", *numbers)
        parts = [unpack(cls.kind, payload, names) for payload in payloads]
        return cls(
            architecture,
            tuple(
                ClusterTrees(cls._trees(part), part["seen"], *(float(part[n]) for n in numbers))
                for part in parts
            ),
        )


def _ratios(architecture: Architecture, counts: Counts) -> Floats:
    """Share of channels that is cut from each group, `n x groups`."""
    result: Floats = 1.0 - counts / architecture.widths
    return result


def _squared_distances(left: Floats, right: Floats) -> Floats:
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :]
    result: Floats = np.maximum(squares - 2.0 * left @ right.T, 0.0)
    return result
