"""Variance components by the largest penalised marginal likelihood.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4.1; a prior
holds the logarithms of the standard deviations near plausible ones.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from hdap.fleet_data.records import Floats

PRIOR_LOG_SD = 1.0
STEPS = 15
JITTER = 1e-10


def learn_variances(
    parts: Floats, target: Floats, start_sd: Sequence[float], fixed: Floats | None = None
) -> Floats:
    """Variances (V) of `target` (m, mean 0) whose covariance is `sum_v variance_v parts_v + fixed`.

    `parts` is V x m x m, `start_sd` (V) the prior medians of the standard deviations.
    """
    start = np.log(start_sd)

    def negative(log_sd: Floats) -> tuple[float, Floats]:
        variance = np.exp(2 * log_sd)
        covariance = np.tensordot(variance, parts, axes=1)
        if fixed is not None:
            covariance += fixed
        covariance[np.diag_indices_from(covariance)] += JITTER
        lower = cholesky(covariance, lower=True)
        inverse = np.tril(dpotri(lower, lower=1)[0])
        inverse += np.tril(inverse, -1).T
        weights = inverse @ target
        value = 0.5 * target @ weights + np.log(np.diag(lower)).sum()
        slack = (log_sd - start) / PRIOR_LOG_SD
        slope = inverse - np.outer(weights, weights)
        gradient = variance * np.tensordot(parts, slope, axes=2) + slack / PRIOR_LOG_SD
        return float(value + 0.5 * slack @ slack), gradient

    bounds = [(s - 4.0, s + 3.0) for s in start]
    found = minimize(
        negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    result: Floats = np.exp(2 * found.x)
    return result
