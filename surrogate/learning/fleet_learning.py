"""How the pooled costs, their correction and its doubt are learned from a fleet's cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Floats, Ints
from hdap.surrogate.context.context_effect import ContextEffect
from hdap.surrogate.context.context_learning import learn_context
from hdap.surrogate.learning.bayesian_correction import (
    Posterior,
    ResidualData,
    fit_residual,
    residual_means,
)
from hdap.surrogate.learning.cost_model import CostModel, fit_costs
from hdap.surrogate.learning.physics import TERMS, LayerTerms, Physics, compute_share
from hdap.surrogate.learning.pooled_cells import filled_offsets
from hdap.surrogate.training_data.training_cells import Cells, TrainingData

LEAST_SHARE = 0.02
REFITS = 5
"""Parts of the configurations that are left out in turn."""


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


def learned(data: TrainingData, cells: Cells, rng: np.random.Generator) -> FleetParameters:
    """Fit to the cells of a fleet, which may be a part of what `data` holds."""
    physics = Physics(data.architecture)
    terms = physics.terms(cells.counts)
    dense = physics.terms(data.architecture.widths[None, :]).totals()[0]
    priced = _priced(terms, dense, cells, data.clusters)
    posterior = fit_residual(priced.residual, data.clusters, rng)
    spread = _refits(terms, dense, cells, priced, posterior)
    model = priced.model
    noise = np.hypot(posterior.configuration_sd, posterior.noise_factor * model.spread)
    return FleetParameters(
        costs=model.costs,
        importance=priced.importance,
        centre=priced.centre,
        level=filled_offsets(model.level, data.relative_latency),
        weights=posterior.mean,
        root=_roots(posterior.covariance + spread),
        noise_sd=noise,
        factor=np.ones(data.clusters),
    )


@dataclass(frozen=True)
class _Priced:
    """A pooled cost model fitted to cells, and what it leaves to the correction."""

    model: CostModel
    importance: Floats
    centre: Floats
    residual: ResidualData


def _priced(terms: LayerTerms, dense: Floats, cells: Cells, clusters: int) -> _Priced:
    model = fit_costs(terms.totals(), dense, cells.cluster, cells.log_ms, clusters)
    importance = _importance(terms, model.costs)
    base, features = features_of(terms, model.costs, importance)
    centre = features.mean(axis=0)
    left = cells.log_ms - np.log(base) - model.level[cells.cluster]
    count = len(model.costs)
    residual = ResidualData(
        terms=(features - centre)[:, :count],
        layers=(features - centre)[:, count:],
        cluster=cells.cluster,
        configuration=cells.configuration,
        log_residual=left,
        noise_sd=_noise(left, model, cells),
    )
    return _Priced(model, importance, centre, residual)


def _refits(
    terms: LayerTerms, dense: Floats, cells: Cells, whole: _Priced, posterior: Posterior
) -> Floats:
    """How far prices and weights move when a part of the configurations is left out: `K x D x D`.

    The grouped jackknife (Shao and Tu, "The Jackknife and Bootstrap", 1995, section 2.3) around the
    fit to all. The posterior takes the pooled prices for known; where a search goes because they
    are wrong, a fit that did not see the same rows disagrees, and nothing else tells.
    """
    clusters, dimensions = posterior.mean.shape
    designs = np.unique(cells.configuration)
    # Scattered over the parts, whatever order they came in; the same at every fit.
    part = np.random.default_rng(0).permutation(len(designs)) % REFITS
    part = part[np.searchsorted(designs, cells.configuration)]
    spread = np.zeros((clusters, dimensions, dimensions))
    for left_out in range(REFITS):
        seen = np.flatnonzero(part != left_out)
        if len(np.unique(cells.cluster[seen])) < len(np.unique(cells.cluster)):
            continue
        refit = _priced(terms.at(seen), dense, cells.at(seen), clusters)
        mean = residual_means(refit.residual, posterior.variances, clusters)
        moved = _moved(terms, cells, (whole, posterior.mean), (refit, mean))
        spread += moved[:, :, None] * moved[:, None, :]
    result: Floats = spread * (REFITS - 1) / REFITS
    return result


def _moved(
    terms: LayerTerms, cells: Cells, before: tuple[_Priced, Floats], after: tuple[_Priced, Floats]
) -> Floats:
    """Change of each cluster's weights (`K x D`) that stands for a change of prices and weights.

    A price enters the logarithm of cost, to first order, as its term's share does.
    """
    (whole, mean), (refit, weights) = before, after
    count = len(whole.model.costs)
    moved = weights - mean
    scale = refit.importance / whole.importance
    moved[:, :count] = weights[:, :count] * scale - mean[:, :count]
    moved[:, :count] += (refit.model.costs - whole.model.costs) / whole.importance
    # The offset makes up for what centres and levels moved by, on average over the cells.
    line = np.arange(len(cells)), cells.cluster
    told = (_log_ms(terms, *after) - _log_ms(terms, *before))[line]
    features = np.hstack([whole.residual.terms, whole.residual.layers])
    rest = told - (features * moved[cells.cluster, :-1]).sum(axis=1)
    for cluster in np.unique(cells.cluster):
        moved[cluster, -1] = rest[cells.cluster == cluster].mean()
    return moved


def _log_ms(terms: LayerTerms, priced: _Priced, weights: Floats) -> Floats:
    """What a fit predicts for n configurations on K clusters, `n x K`."""
    base, features = features_of(terms, priced.model.costs, priced.importance)
    found: Floats = np.log(base)[:, None] + np.nan_to_num(priced.model.level) + weights[:, -1]
    found += (features - priced.centre) @ weights[:, :-1].T
    return found


def learned_context(
    data: TrainingData, parameters: FleetParameters, rng: np.random.Generator
) -> tuple[ContextEffect | None, Floats]:
    """What context does, beside what the mean cluster would take for each design."""
    p = parameters
    terms = Physics(data.architecture).terms(data.designs)
    base, features = features_of(terms, p.costs, p.importance)
    weights = p.weights.mean(axis=0)
    base_log_ms = np.log(base) + (features - p.centre) @ weights[:-1]
    return learn_context(data, base_log_ms, compute_share(terms, p.costs), rng)


def features_of(terms: LayerTerms, costs: Floats, importance: Floats) -> tuple[Floats, Floats]:
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


def _roots(covariance: Floats) -> NDArray[np.float32]:
    """Roots R of the covariances, `K x D x r` with R R' close to them; r is the largest rank."""
    values, vectors = np.linalg.eigh(covariance)
    rank = int((values > 1e-6 * values.max()).sum(axis=1).max())
    roots = vectors[:, :, -rank:] * np.sqrt(np.maximum(values[:, None, -rank:], 0.0))
    result: NDArray[np.float32] = roots.astype(np.float32)
    return result


def at_most(cells: Cells, limit: int, rng: np.random.Generator) -> Cells:
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
