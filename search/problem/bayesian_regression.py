"""Bayesian regression for few observations of many variables that are expected to count alike."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from hdap.fleet_data.records import Floats

COMMON = (0.3, 1.0, 3.0, 10.0)
OWN = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
NOISE = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Variances that are thought possible, in units of that of what was observed: explained by a slope
that all variables share, by slopes of their own, and by neither."""


@dataclass(frozen=True)
class BayesianRegression:
    """What n observations say of `y = mean + (x - center) @ slopes + noise`, x of d variables.

    Slopes are normal beforehand: one that all share plus one of each variable's own. How large
    these and the noise are is averaged over, weighed by the evidence (MacKay, "Bayesian
    Interpolation", 1992), so that intervals hold with few observations too.
    """

    center: Floats
    mean: float
    slopes: Floats
    covariance: Floats
    noise: float

    @classmethod
    def of(cls, x: Floats, y: Floats) -> "BayesianRegression":
        """From `n x d` and `n`; of fewer than two different `y` only their mean is learned."""
        center, mean, spread = x.mean(axis=0), float(y.mean()), float(y.std())
        if spread == 0.0 or not np.ptp(x, axis=0).any():
            flat = np.zeros(x.shape[1])
            return cls(center, mean, flat, np.zeros((len(flat), len(flat))), spread**2)
        moved, scaled = x - center, (y - mean) / spread
        shared = float(moved.sum(axis=1).var()) or 1.0
        apart = float(moved.var(axis=0).sum())
        noise = np.array(NOISE)
        logs, slopes, covariances = [], [], []
        for common, own in product(COMMON, OWN):
            root = _root(x.shape[1], common / shared, own / apart)
            log, found, covariance = _given(moved @ root, scaled, noise)
            logs.append(log)
            slopes.append(found @ root)
            covariances.append(root @ covariance @ root)
        weights = np.exp(np.concatenate(logs) - np.max(logs))
        weights /= weights.sum()
        every = np.concatenate(slopes)
        middle = weights @ every
        inside = np.tensordot(weights, np.concatenate(covariances), axes=1)
        between = (every - middle).T @ ((every - middle) * weights[:, None])
        variance = float(weights @ np.tile(noise, len(logs)))
        covariance = spread**2 * (inside + between)
        return cls(center, mean, spread * middle, covariance, spread**2 * variance)

    def expected(self, x: Floats) -> Floats:
        """The mean of y: `m x d` -> `m`."""
        found: Floats = self.mean + (x - self.center) @ self.slopes
        return found

    def sd(self, x: Floats, over: Floats | None = None) -> Floats:
        """The standard deviation of an observation, or of how far it is above another one at `over`
        (`d`): `m x d` -> `m`."""
        away = x - (self.center if over is None else over)
        inside = np.einsum("md,de,me->m", away, self.covariance, away)
        variance = np.maximum(inside, 0.0) + self.noise * (1.0 if over is None else 2.0)
        return np.asarray(np.sqrt(variance))


def _root(size: int, common: float, own: float) -> Floats:
    """The symmetric root of `common * ones + own * identity`."""
    along = np.sqrt(own + size * common)
    found: Floats = np.sqrt(own) * np.eye(size) + (along - np.sqrt(own)) / size
    return found


def _given(x: Floats, y: Floats, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Of standard normal slopes, for each of k noises: the log evidence (k), the slopes (`k x d`)
    and their covariance (`k x d x d`)."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    along = u.T @ y
    total = s**2 + noise[:, None]
    rest = np.maximum(y @ y - along @ along, 0.0)
    fitted = (along**2 / total + np.log(total)).sum(axis=1)
    log = -0.5 * (fitted + rest / noise + (len(y) - len(s)) * np.log(noise))
    slopes = (s * along / total) @ vt
    kept = np.einsum("kr,rd,re->kde", s**2 / total, vt, vt)
    return log, slopes, np.eye(x.shape[1]) - kept
