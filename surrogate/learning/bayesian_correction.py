"""What the cost model leaves over: a Bayesian linear model, shared and cluster by cluster.

A cell's log residual is `features . (shared + own[cluster]) + offset[cluster] + configuration +
noise`, all normal with mean 0: a variance components model (Searle, Casella and McCulloch,
"Variance Components", 1992). A cluster with few rows so follows the fleet, one with many itself.
`configuration` is what the features cannot say about a configuration, alike in all clusters.
The variances are those of the largest marginal likelihood (see `variances`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from hdap.fleet_data.records import Floats, Ints
from hdap.surrogate.context.variance_components import JITTER, learn_variances

START_SD = (0.05, 0.03, 0.1, 0.05, 0.02, 0.015, 1.0)
"""Prior medians of the standard deviations: shared and own effect of a term, shared and own effect
of a layer, offset of a cluster, configuration, noise (as a factor on the given spread)."""
LEARNING_CELLS = 400


@dataclass(frozen=True)
class ResidualData:
    """m cells: features of terms (m x J) and layers (m x L), `log_residual`, `noise_sd` of each."""

    terms: Floats
    layers: Floats
    cluster: Ints
    configuration: Ints
    log_residual: Floats
    noise_sd: Floats

    def at(self, rows: Ints) -> "ResidualData":
        """The chosen cells."""
        names = ("terms", "layers", "cluster", "configuration", "log_residual", "noise_sd")
        return ResidualData(*(getattr(self, name)[rows] for name in names))


@dataclass(frozen=True)
class Posterior:
    """Of each cluster's weights, D = J + L + 1 (the last is its offset): `mean` is K x D,
    `covariance` K x D x D. `configuration_sd` is what the features cannot say,
    `noise_factor` scales the given noise; `variances` are the seven that `START_SD` names."""

    mean: Floats
    covariance: Floats
    configuration_sd: float
    noise_factor: float
    variances: Floats


def fit_residual(data: ResidualData, clusters: int, rng: np.random.Generator) -> Posterior:
    """The posterior of K clusters' weights. Variances are learned on a sample of the cells."""
    rows = np.arange(len(data.log_residual))
    sample = (
        rows
        if len(rows) <= LEARNING_CELLS
        else np.sort(rng.choice(rows, LEARNING_CELLS, replace=False))
    )
    return _posterior(data, _variances(data.at(sample)), clusters)


def residual_means(data: ResidualData, variances: Floats, clusters: int) -> Floats:
    """The posterior's `mean` (K x D) at given variances."""
    return _means(data, variances, clusters, _factor(data, variances))


def _variances(data: ResidualData) -> Floats:
    """The seven variances of the largest penalised marginal likelihood."""
    return learn_variances(_components(data), data.log_residual, START_SD)


def _components(data: ResidualData) -> NDArray[np.float64]:
    """Seven covariances of the cells at variance 1, in the order of `START_SD`."""
    same = (data.cluster[:, None] == data.cluster[None, :]).astype(np.float64)
    alike = (data.configuration[:, None] == data.configuration[None, :]).astype(np.float64)
    terms = data.terms @ data.terms.T
    layers = data.layers @ data.layers.T
    noise = np.diag(data.noise_sd**2)
    return np.stack([terms, terms * same, layers, layers * same, same, alike, noise])


def _posterior(data: ResidualData, variances: Floats, clusters: int) -> Posterior:
    factor = _factor(data, variances)
    covariances = []
    for cluster in range(clusters):
        prior, cross = _prior(data, variances, cluster)
        covariances.append(np.diag(prior) - cross @ cho_solve(factor, cross.T))
    return Posterior(
        _means(data, variances, clusters, factor),
        np.stack(covariances),
        float(np.sqrt(variances[5])),
        float(np.sqrt(variances[6])),
        variances,
    )


def _factor(data: ResidualData, variances: Floats) -> tuple[Floats, bool]:
    """Cholesky factor of the cells' covariance."""
    covariance = np.tensordot(variances, _components(data), axes=1)
    covariance[np.diag_indices_from(covariance)] += JITTER
    found: tuple[Floats, bool] = cho_factor(covariance, lower=True)
    return found


def _means(
    data: ResidualData, variances: Floats, clusters: int, factor: tuple[Floats, bool]
) -> Floats:
    alpha = cho_solve(factor, data.log_residual)
    return np.stack([_prior(data, variances, k)[1] @ alpha for k in range(clusters)])


def _prior(data: ResidualData, variances: Floats, cluster: int) -> tuple[Floats, Floats]:
    """Prior variances of a cluster's weights (D), and their covariance with the cells (D x m)."""
    features = np.hstack([data.terms, data.layers, np.ones((len(data.log_residual), 1))])
    sizes = (data.terms.shape[1], data.layers.shape[1], 1)
    shared = np.repeat([variances[0], variances[2], 0.0], sizes)
    own = np.repeat([variances[1], variances[3], variances[4]], sizes)
    mine = (data.cluster == cluster).astype(np.float64)
    return shared + own, (features * shared + features * own * mine[:, None]).T
