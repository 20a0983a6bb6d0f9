"""One surrogate for each runtime and precision, side by side as the surrogates of one fleet.

Each part is of any kind and answers for its own clusters, so no measurement of one state teaches
another unless its part was fitted to both. Where all parts are cost models the whole has tangents
too: a sum of functions that lie nowhere above the parts' objectives lies nowhere above their sum.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.surrogate.context.context_effect import Context, ContextRange
from hdap.surrogate.learning.blas_threads import one_blas_thread
from hdap.surrogate.learning.physics import Physics
from hdap.surrogate.models.base import FleetSurrogate, Prediction, fleet_step, pack, unpack
from hdap.surrogate.models.fleet_model import BATCH, FleetModel
from hdap.surrogate.models.roofline import Roofline
from hdap.surrogate.training_data.training_cells import TrainingData

PART_KINDS: dict[str, type[FleetSurrogate]] = {k.kind: k for k in (FleetModel, Roofline)}
"""What a part may be; all of them compete for each runtime and precision."""


@dataclass(frozen=True)
class Part:
    """A surrogate of some clusters: its cluster i is the fleet's `clusters[i]`."""

    surrogate: FleetSurrogate
    clusters: tuple[int, ...]


class StateSurrogates(FleetSurrogate):
    """Kind `states`; every cluster is of one part."""

    kind = "states"

    def __init__(self, architecture: Architecture, parts: tuple[Part, ...], step: int) -> None:
        self.parts = parts
        steps = dict(
            pair for p in parts for pair in zip(p.clusters, p.surrogate.steps, strict=True)
        )
        super().__init__(architecture, tuple(steps[k] for k in range(len(steps))), step)

    @classmethod
    def fit(cls, data: TrainingData, seed: int = 0) -> Self:
        """Every state alone, by kind `fleet`."""
        parts = tuple(
            Part(FleetModel.fit(data.of_clusters(mine), seed), mine)
            for mine in data.clusters_by_state.values()
        )
        return cls(data.architecture, parts, step_of(parts, data.shares))

    @property
    def context_range(self) -> tuple[ContextRange, ...]:
        ranges: dict[int, ContextRange] = {}
        for part in self.parts:
            ranges |= dict(zip(part.clusters, part.surrogate.context_range, strict=False))
        return tuple(ranges[k] for k in sorted(ranges)) if len(ranges) == self.clusters else ()

    def calibrated(self, factors: Floats) -> Self:
        parts = tuple(
            Part(p.surrogate.calibrated(factors[list(p.clusters)]), p.clusters) for p in self.parts
        )
        return type(self)(self.architecture, parts, self.step)

    def payloads(self) -> tuple[bytes, ...]:
        found: dict[int, bytes] = {}
        for number, part in enumerate(self.parts):
            for cluster, payload in zip(part.clusters, part.surrogate.payloads(), strict=True):
                arrays = {
                    "part": number,
                    "part_kind": part.surrogate.kind,
                    "payload": np.frombuffer(payload, dtype=np.uint8),
                    "fleet_step": self.step,
                }
                found[cluster] = pack(self.kind, arrays)
        return tuple(found[k] for k in range(self.clusters))

    @classmethod
    def from_payloads(cls, architecture: Architecture, payloads: tuple[bytes, ...]) -> Self:
        names = ("part", "part_kind", "payload", "fleet_step")
        found = [unpack(cls.kind, payload, names) for payload in payloads]
        parts = []
        for number in sorted({int(one["part"]) for one in found}):
            mine = tuple(k for k, one in enumerate(found) if int(one["part"]) == number)
            inner = tuple(found[k]["payload"].tobytes() for k in mine)
            kind = PART_KINDS[str(found[mine[0]]["part_kind"])]
            parts.append(Part(kind.from_payloads(architecture, inner), mine))
        return cls(architecture, tuple(parts), int(found[0]["fleet_step"]))

    def ratio_sd(self, one: Counts, other: Counts) -> Floats:
        """As `FleetModel.ratio_sd`, of each cluster by its own part (K)."""
        found = np.empty(self.clusters)
        for part in self.parts:
            latency = part.surrogate
            if isinstance(latency, FleetModel):
                found[list(part.clusters)] = latency.ratio_sd(one, other)
            else:
                both = latency.predict(np.stack([one, other])).log_sd
                found[list(part.clusters)] = np.hypot(both[0], both[1])
        return found

    def _predict(self, counts: Counts) -> Prediction:
        return self._joined([p.surrogate.predict(counts) for p in self.parts])

    def _predict_in(self, counts: Counts, context: Context) -> Prediction:
        return self._joined([p.surrogate.predict(counts, context) for p in self.parts])

    def _joined(self, found: list[Prediction]) -> Prediction:
        rows = len(found[0].log_ms)
        log_ms, log_sd = np.empty((rows, self.clusters)), np.empty((rows, self.clusters))
        for part, one in zip(self.parts, found, strict=True):
            log_ms[:, part.clusters], log_sd[:, part.clusters] = one.log_ms, one.log_sd
        return Prediction(log_ms, log_sd)


class AdditiveStates(StateSurrogates):
    """Kind `additive-states`: all parts are of kind `fleet`, so a search can be exact."""

    kind = "additive-states"

    @property
    def physics(self) -> Physics:
        """The terms that all parts are made of."""
        return self._models[0].physics

    def priced(self, counts: Counts) -> tuple[Floats, Floats]:
        """Cost (n), of the mean part, and the features of all parts side by side."""
        terms = self.physics.terms(counts)
        every = [model.priced_terms(terms) for model in self._models]
        return np.mean([cost for cost, _ in every], axis=0), np.hstack([f for _, f in every])

    def tangent(self, features: Floats, shares: Floats, risk: float) -> Floats:
        """As `FleetModel.tangent`: the sum of the parts' own."""
        models = self._models
        own = np.split(features, len(models))
        prices: Floats = np.sum(
            [
                model.tangent(f, shares[list(part.clusters)], risk)
                for model, part, f in zip(models, self.parts, own, strict=True)
            ],
            axis=0,
        )
        return prices

    def _predict(self, counts: Counts) -> Prediction:
        """The terms of a network, which take most of the time, are computed once for all parts."""
        found = []
        with one_blas_thread():
            for start in range(0, max(len(counts), 1), BATCH):
                terms = self.physics.terms(counts[start : start + BATCH])
                found.append(self._joined([model.of_terms(terms) for model in self._models]))
        return Prediction(
            np.vstack([one.log_ms for one in found]), np.vstack([one.log_sd for one in found])
        )

    @property
    def _models(self) -> list[FleetModel]:
        return [p.surrogate for p in self.parts if isinstance(p.surrogate, FleetModel)]


def step_of(parts: tuple[Part, ...], shares: Floats) -> int:
    """The grid of the fleet (`shares`: K) from those of its parts."""
    steps = {k: s for p in parts for k, s in zip(p.clusters, p.surrogate.steps, strict=True)}
    return fleet_step(tuple(steps[k] for k in range(len(steps))), shares)
