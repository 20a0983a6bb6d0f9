"""What held-out error to expect after more measurements: a power law through what is known."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Floats
from hdap.surrogate.base import FleetSurrogate
from hdap.surrogate.data import TrainingData
from hdap.surrogate.learning_curve import HELD_SHARE, thinned

LEAST_CONFIGURATIONS = 12
SIZES = (0.25, 0.5, 1.0)
REPEATS = 3
STEEPEST = 1.0


@dataclass(frozen=True)
class LearningCurve:
    """Held-out error (mean absolute relative, a fraction) against pruned rows a cluster.

    `error = level * rows ** -rate`, fitted to `errors` at `rows`; `source` says of what data.
    """

    rows: Floats
    errors: Floats
    level: float
    rate: float
    source: str

    @classmethod
    def through(cls, rows: Floats, errors: Floats, source: str) -> "LearningCurve":
        """Least squares in logarithms; the error never grows with rows nor falls faster than
        1/rows."""
        x, y = np.log(rows), np.log(np.maximum(errors, 1e-6))
        centred = x - x.mean()
        slope = float(centred @ y / max(float(centred @ centred), 1e-12))
        rate = float(np.clip(-slope, 0.0, STEEPEST))
        level = float(np.exp(y.mean() + rate * x.mean()))
        return cls(rows, errors, level, rate, source)

    def expected(self, rows: float) -> float:
        """The error to expect with so many rows a cluster: expected, not promised."""
        return float(self.level * max(rows, 1.0) ** -self.rate)


def learning_curve(
    kind: type[FleetSurrogate], data: TrainingData, seed: int = 0
) -> LearningCurve | None:
    """The curve of stored data; None where too few pruned configurations were measured.

    A quarter of the configurations is held out; the surrogate learns from a quarter, a half and all
    of the other rows of each cluster, thinned as a plan would have taken them.
    """
    if len(np.unique(data.configuration[~data.dense])) < LEAST_CONFIGURATIONS:
        return None
    rows, errors = np.empty((REPEATS, len(SIZES))), np.empty((REPEATS, len(SIZES)))
    for repeat in range(REPEATS):
        rng = np.random.default_rng([seed, repeat])
        pruned = rng.permutation(np.unique(data.configuration[~data.dense]))
        held = np.isin(data.configuration, pruned[: max(2, round(HELD_SHARE * len(pruned)))])
        known = data.at(~held)
        most = np.bincount(known.cluster[~known.dense], minlength=data.clusters).max()
        for column, share in enumerate(SIZES):
            few = known.at(thinned(known, max(3, round(share * most)), rng))
            rows[repeat, column] = few_rows(few)
            errors[repeat, column] = _error(kind, few, data.at(held), seed)
    if not np.isfinite(errors).all():
        return None
    return LearningCurve.through(rows.mean(axis=0), errors.mean(axis=0), "this fleet's own data")


def few_rows(data: TrainingData) -> float:
    """Mean number of pruned rows over clusters that have any."""
    counted = np.bincount(data.cluster[~data.dense], minlength=data.clusters)
    return float(counted[counted > 0].mean()) if counted.any() else 0.0


def _error(
    kind: type[FleetSurrogate], known: TrainingData, unseen: TrainingData, seed: int
) -> float:
    from hdap.fleet_data.errors import NotEnoughDataError

    try:
        surrogate = kind.fit(known, seed)
    except NotEnoughDataError:
        return float("nan")
    cells = unseen.cells
    predicted = surrogate.predict(cells.counts).log_ms[np.arange(len(cells)), cells.cluster]
    return float(np.abs(np.expm1(predicted - cells.log_ms)).mean())
