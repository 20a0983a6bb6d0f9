"""Our surrogate: physical costs of the whole fleet, corrected cluster by cluster.

`log latency = log(terms . costs) + level + features . weights`: a pooled cost model (see
`cost_model`) and a Bayesian linear correction of it (see `residual`). The features are how much of
the time each term would take and each layer takes, so a weight says by how much a price is off.
Everything is a few matrix products for all clusters at once. The interval grows where a network
spends its time otherwise than the measured ones do, and where fits to parts of the measurements
disagree (see `fleet_learning`).
"""

from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.surrogate.context.context_effect import Context, ContextEffect, ContextRange
from hdap.surrogate.context.context_learning import without
from hdap.surrogate.learning.blas_threads import one_blas_thread
from hdap.surrogate.learning.channel_alignment import paying_steps
from hdap.surrogate.learning.fleet_learning import (
    FleetParameters,
    at_most,
    features_of,
    learned,
    learned_context,
)
from hdap.surrogate.learning.physics import TERMS, LayerTerms, Physics, compute_share
from hdap.surrogate.learning.pooled_cells import LEAST_FOLD, require_configurations
from hdap.surrogate.models.base import FleetSurrogate, Prediction, fleet_step, pack, unpack
from hdap.surrogate.training_data.training_cells import TrainingData

MAX_CELLS = 1500
"""Cells learned from: many more do not sharpen about a hundred shared weights."""
CONTEXT_STEPS = 2
"""Times that costs are learned again without what context did to the rows."""
BATCH = 1024
"""Configurations computed at once: their terms stay in the processor's cache."""


class FleetModel(FleetSurrogate):
    """Kind `fleet`."""

    kind = "fleet"

    def __init__(
        self,
        architecture: Architecture,
        parameters: FleetParameters,
        steps: tuple[int, ...],
        step: int,
        context: ContextEffect | None = None,
    ) -> None:
        super().__init__(architecture, steps, step)
        self.parameters = parameters
        self.context = context
        self._physics = Physics(architecture)

    @classmethod
    def fit(cls, data: TrainingData, seed: int = 0) -> Self:
        require_configurations(data, LEAST_FOLD)
        rng = np.random.default_rng(seed)
        with one_blas_thread():
            parameters = learned(data, at_most(data.cells, MAX_CELLS, rng), rng)
            # Its own generator: rows without context are learned as if there were none.
            context, moved = learned_context(data, parameters, np.random.default_rng(seed))
            for _ in range(CONTEXT_STEPS if moved.any() else 0):
                # What the costs took for a slow network was in part a slow moment.
                usual = without(data, moved)
                parameters = learned(usual, at_most(usual.cells, MAX_CELLS, rng), rng)
                context, moved = learned_context(data, parameters, np.random.default_rng(seed))
        bare = cls(data.architecture, parameters, (1,) * data.clusters, 1)
        steps = paying_steps(data.architecture, lambda c: bare._predict(c).log_ms, rng)
        return cls(data.architecture, parameters, steps, fleet_step(steps, data.shares), context)

    def calibrated(self, factors: Floats) -> Self:
        parameters = replace(self.parameters, factor=self.parameters.factor * factors)
        return type(self)(self.architecture, parameters, self.steps, self.step, self.context)

    def _predict(self, counts: Counts) -> Prediction:
        log_ms = np.empty((len(counts), self.clusters))
        variance = np.empty_like(log_ms)
        with one_blas_thread():
            for start in range(0, len(counts), BATCH):
                part = slice(start, start + BATCH)
                log_ms[part], variance[part] = self._predict_batch(counts[part])
        p = self.parameters
        return Prediction(log_ms, p.factor * np.sqrt(variance + p.noise_sd**2))

    @property
    def context_range(self) -> tuple[ContextRange, ...]:
        return () if self.context is None else self.context.ranges

    def _predict_in(self, counts: Counts, context: Context) -> Prediction:
        if self.context is None:
            return super()._predict_in(counts, context)
        typical = self._predict(counts)
        share = compute_share(self._physics.terms(counts), self.parameters.costs)
        shift, variance = self.context.shift(context, share)
        # Where others' experience is borrowed, so is that of the one that is known worst.
        noise = self.parameters.factor * self.parameters.noise_sd
        borrowed = self.context.unseen(context.clock_scale) * (noise.max() ** 2 - noise**2)
        spread = np.sqrt(typical.log_sd**2 + variance + borrowed)
        return Prediction(typical.log_ms + shift, spread)

    def of_terms(self, terms: LayerTerms) -> Prediction:
        """Latencies of n configurations that are described already, in the typical context."""
        log_ms, variance = self._of_terms(terms)
        return Prediction(log_ms, self.parameters.factor * np.sqrt(variance + self._noise))

    @property
    def _noise(self) -> Floats:
        return np.asarray(self.parameters.noise_sd**2)

    def _predict_batch(self, counts: Counts) -> tuple[Floats, Floats]:
        return self._of_terms(self._physics.terms(counts))

    def _of_terms(self, terms: LayerTerms) -> tuple[Floats, Floats]:
        p = self.parameters
        base, features = features_of(terms, p.costs, p.importance)
        features -= p.centre
        log_ms = np.log(base)[:, None] + p.level + p.weights[:, -1] + features @ p.weights[:, :-1].T
        spread = features.astype(np.float32) @ self._roots + self._last_rows
        variance = (spread**2).reshape(len(base), self.clusters, -1).sum(axis=2)
        return log_ms, variance.astype(np.float64)

    def ratio_sd(self, one: Counts, other: Counts) -> Floats:
        """How far, in the logarithm, `one` over `other` may be off, `groups` each: K.

        One standard deviation, noise of measuring left out; what both predictions share cancels.
        """
        _, features = self.priced(np.stack([one, other]))
        apart = np.append(features[0] - features[1], 0.0)
        spread = np.einsum("kdr,d->kr", self.parameters.root.astype(np.float64), apart)
        return np.asarray(self.parameters.factor * np.sqrt((spread**2).sum(axis=1)))

    @property
    def physics(self) -> Physics:
        """The terms that its predictions are made of."""
        return self._physics

    def priced(self, counts: Counts) -> tuple[Floats, Floats]:
        """Pooled cost (n) and features (`n x (D - 1)`), of which alone a prediction depends."""
        return self.priced_terms(self._physics.terms(counts))

    def priced_terms(self, terms: LayerTerms) -> tuple[Floats, Floats]:
        """The same of configurations that are described already."""
        return features_of(terms, self.parameters.costs, self.parameters.importance)

    def tangent(self, features: Floats, shares: Floats, risk: float) -> Floats:
        """Prices (`terms x layers`) whose sum over a network's terms is nowhere above its
        `shares @ exp(log_ms + risk * log_sd)`, and equals it where the network has `features`
        (D - 1).

        With cost B and features f = F / B that objective is `B phi(F / B)` with phi the exponential
        of a convex function: the perspective of a convex function, so convex in (B, F) (Boyd and
        Vandenberghe, "Convex Optimization", 2004, section 3.2.6), and B and F are sums over layers.
        `shares` (K) must not be negative, `risk` neither.
        """
        p = self.parameters
        offset = np.append(features - p.centre, 1.0)
        spread = np.einsum("kdr,d->kr", p.root.astype(np.float64), offset)
        sd = np.sqrt((spread**2).sum(axis=1) + p.noise_sd**2)
        value = shares * np.exp(p.level + p.weights @ offset + risk * p.factor * sd)
        pull = np.einsum("kdr,kr->kd", p.root.astype(np.float64), spread / sd[:, None])
        slope = value @ (p.weights + risk * p.factor[:, None] * pull)[:, :-1]
        base = value.sum() - slope @ features
        classes, terms = self._physics.classes, len(TERMS)
        by_class = (slope[: len(p.costs)] * p.importance).reshape(-1, terms)[classes].T
        costs = p.costs.reshape(-1, terms)[classes].T
        prices: Floats = costs * (base + slope[len(p.costs) :]) + by_class
        return prices

    @cached_property
    def _roots(self) -> NDArray[np.float32]:
        """Roots of all clusters side by side, `D - 1 x (K r)`: one product serves all."""
        roots = self.parameters.root[:, :-1, :]
        return np.ascontiguousarray(roots.transpose(1, 0, 2).reshape(roots.shape[1], -1))

    @cached_property
    def _last_rows(self) -> NDArray[np.float32]:
        return self.parameters.root[:, -1, :].reshape(-1)

    def payloads(self) -> tuple[bytes, ...]:
        p = self.parameters
        shared = {"costs": p.costs, "importance": p.importance, "centre": p.centre}
        shared |= {"fleet_step": np.array(self.step), "terms": np.array(TERMS)}
        own = ("level", "weights", "root", "noise_sd", "factor")
        return tuple(
            pack(
                self.kind,
                shared
                | {"step": self.steps[k]}
                | {n: getattr(p, n)[k] for n in own}
                | ({} if self.context is None else self.context.arrays(k)),
            )
            for k in range(self.clusters)
        )

    @classmethod
    def from_payloads(cls, architecture: Architecture, payloads: tuple[bytes, ...]) -> Self:
        own = ("level", "weights", "root", "noise_sd", "factor")
        names = ("costs", "importance", "centre", "fleet_step", "terms", "step", *own)
        optional = ContextEffect.names()
        parts = [unpack(cls.kind, payload, names, optional) for payload in payloads]
        if tuple(parts[0]["terms"]) != TERMS:
            raise InputError("stored surrogates must price the terms of today; fit again: hdap fit")
        stacked = {name: np.stack([part[name] for part in parts]) for name in own}
        first = parts[0]
        parameters = FleetParameters(
            first["costs"], first["importance"], first["centre"], **stacked
        )
        steps = tuple(int(part["step"]) for part in parts)
        told = all(name in part for part in parts for name in optional)
        context = ContextEffect.from_arrays(parts) if told else None
        return cls(architecture, parameters, steps, int(first["fleet_step"]), context)
