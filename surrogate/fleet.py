"""Our surrogate: physical costs of the whole fleet, corrected cluster by cluster.

`log latency = log(terms . costs) + level + features . weights`: a pooled cost model (see
`cost_model`) and a Bayesian linear correction of it (see `residual`). The features are how much of
the time each term would take and each layer takes, so a weight says by how much a price is off.
Everything is a few matrix products for all clusters at once. The interval grows where a network
spends its time otherwise than the measured ones do.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.surrogate.base import FleetSurrogate, Prediction, fleet_step
from hdap.surrogate.borrowing import require_configurations
from hdap.surrogate.context import Context, ContextRange
from hdap.surrogate.context_effect import ContextEffect
from hdap.surrogate.context_learning import learn_context, without
from hdap.surrogate.cost_model import CostModel, fit_costs
from hdap.surrogate.data import Cells, TrainingData
from hdap.surrogate.levels import filled_levels
from hdap.surrogate.payload import pack, unpack
from hdap.surrogate.physics import TERMS, LayerTerms, Physics, compute_share
from hdap.surrogate.residual import Posterior, ResidualData, fit_residual
from hdap.surrogate.staircase import paying_steps
from hdap.surrogate.threads import one_blas_thread

MAX_CELLS = 1500
"""Cells learned from: many more do not sharpen about a hundred shared weights."""
LEAST_SHARE = 0.02
CONTEXT_STEPS = 2
"""Times that costs are learned again without what context did to the rows."""
BATCH = 1024
"""Configurations computed at once: their terms stay in the processor's cache."""


@dataclass(frozen=True)
class FleetParameters:
    """All that a prediction needs. `costs` (J), `importance` (J: share of time of a term's class),
    `centre` (D - 1); per cluster `level` (K), `weights` (K x D), `root` (K x D x r: a root of the
    weights' covariance), `noise_sd` (K) and `factor` (K, the calibration)."""

    costs: Floats
    importance: Floats
    centre: Floats
    level: Floats
    weights: Floats
    root: NDArray[np.float32]
    noise_sd: Floats
    factor: Floats


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
        require_configurations(data)
        rng = np.random.default_rng(seed)
        with one_blas_thread():
            parameters = _learn(data, _at_most(data.cells, MAX_CELLS, rng), rng)
            # Its own generator: rows without context are learned as if there were none.
            context, moved = _learn_context(data, parameters, np.random.default_rng(seed))
            for _ in range(CONTEXT_STEPS if moved.any() else 0):
                # What the costs took for a slow network was in part a slow moment.
                usual = without(data, moved)
                parameters = _learn(usual, _at_most(usual.cells, MAX_CELLS, rng), rng)
                context, moved = _learn_context(data, parameters, np.random.default_rng(seed))
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

    def _predict_batch(self, counts: Counts) -> tuple[Floats, Floats]:
        p = self.parameters
        base, features = _features(self._physics.terms(counts), p.costs, p.importance)
        features -= p.centre
        log_ms = np.log(base)[:, None] + p.level + p.weights[:, -1] + features @ p.weights[:, :-1].T
        spread = features.astype(np.float32) @ self._roots + self._last_rows
        variance = (spread**2).reshape(len(counts), self.clusters, -1).sum(axis=2)
        return log_ms, variance.astype(np.float64)

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


def _learn(data: TrainingData, cells: Cells, rng: np.random.Generator) -> FleetParameters:
    physics = Physics(data.architecture)
    terms = physics.terms(cells.counts)
    dense = physics.terms(data.architecture.widths[None, :]).totals()[0]
    model = fit_costs(terms.totals(), dense, cells.cluster, cells.log_ms, data.clusters)
    importance = _importance(terms, model.costs)
    base, features = _features(terms, model.costs, importance)
    centre = features.mean(axis=0)
    residual = cells.log_ms - np.log(base) - model.level[cells.cluster]
    count = len(model.costs)
    posterior = fit_residual(
        ResidualData(
            terms=(features - centre)[:, :count],
            layers=(features - centre)[:, count:],
            cluster=cells.cluster,
            configuration=cells.configuration,
            log_residual=residual,
            noise_sd=_noise(residual, model, cells),
        ),
        data.clusters,
        rng,
    )
    noise = np.hypot(posterior.configuration_sd, posterior.noise_factor * model.spread)
    return FleetParameters(
        costs=model.costs,
        importance=importance,
        centre=centre,
        level=filled_levels(model.level, data.relative_latency),
        weights=posterior.mean,
        root=_roots(posterior),
        noise_sd=noise,
        factor=np.ones(data.clusters),
    )


def _learn_context(
    data: TrainingData, parameters: FleetParameters, rng: np.random.Generator
) -> tuple[ContextEffect | None, Floats]:
    """What context does, beside what the mean cluster would take for each design."""
    p = parameters
    terms = Physics(data.architecture).terms(data.designs)
    base, features = _features(terms, p.costs, p.importance)
    weights = p.weights.mean(axis=0)
    base_log_ms = np.log(base) + (features - p.centre) @ weights[:-1]
    return learn_context(data, base_log_ms, compute_share(terms, p.costs), rng)


def _features(terms: LayerTerms, costs: Floats, importance: Floats) -> tuple[Floats, Floats]:
    """Cost by the pooled model (n, 1 at full width) and the features, `n x (terms + layers)`."""
    layers = terms.layer_costs(costs)
    base = layers.sum(axis=1)
    totals = terms.totals() * importance
    return base, np.hstack([totals, layers]) / base[:, None]


def _importance(terms: LayerTerms, costs: Floats) -> Floats:
    """Share of the time that the class of each term takes (J), on average over the cells."""
    layers = terms.layer_costs(costs)
    share = (layers / layers.sum(axis=1, keepdims=True)).mean(axis=0)
    by_class = np.bincount(terms.classes, weights=share)
    return np.repeat(np.maximum(by_class, LEAST_SHARE), len(TERMS))


def _noise(residual: Floats, model: CostModel, cells: Cells) -> Floats:
    """Standard deviation of each cell's noise; odd cells count as noisier (Huber)."""
    spread = model.spread[cells.cluster]
    return spread * np.maximum(1.0, np.abs(residual) / (2.5 * spread))


def _roots(posterior: Posterior) -> NDArray[np.float32]:
    """Roots R of the covariances, `K x D x r` with R R' close to them; r is the largest rank."""
    values, vectors = np.linalg.eigh(posterior.covariance)
    rank = int((values > 1e-6 * values.max()).sum(axis=1).max())
    roots = vectors[:, :, -rank:] * np.sqrt(np.maximum(values[:, None, -rank:], 0.0))
    result: NDArray[np.float32] = roots.astype(np.float32)
    return result


def _at_most(cells: Cells, limit: int, rng: np.random.Generator) -> Cells:
    """At most `limit` cells, those of small clusters first."""
    if len(cells) <= limit:
        return cells
    order = rng.permutation(len(cells))
    position = np.empty(len(cells), dtype=np.int64)
    by_cluster = order[np.argsort(cells.cluster[order], kind="stable")]
    sizes = np.bincount(cells.cluster)
    starts = np.cumsum(sizes) - sizes
    position[by_cluster] = np.arange(len(cells)) - np.repeat(starts, sizes)
    chosen: Ints = np.sort(np.lexsort((order, position))[:limit])
    return cells.at(chosen)
