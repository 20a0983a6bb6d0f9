"""What held-out error to expect after more measurements: a power law through what is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Floats
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.training_data.training_cells import TrainingData

LEAST_CONFIGURATIONS = 16
HELD_SHARE = 0.25
SHARES = (0.33, 0.6, 1.0)
REPEATS = 2
STEEPEST = 1.0
BUNDLED = ((10, 0.047), (20, 0.039), (50, 0.035), (100, 0.033))
"""Pruned configurations and held-out error of the `fleet` surrogate on the measured ResNet-50 fleet
that ships with hdap (24 devices, noise about 2 %), as `errors_at` gives them; a test repeats it."""


@dataclass(frozen=True)
class LearningCurve:
    """Held-out error (mean absolute relative, a fraction) against configurations learned from.

    `error = level * configurations ** -rate`, fitted to `errors`; `source` says of what data.
    """

    configurations: Floats
    errors: Floats
    level: float
    rate: float
    source: str

    @classmethod
    def through(cls, configurations: Floats, errors: Floats, source: str) -> "LearningCurve":
        """Least squares in logarithms; the error never grows with measurements, and never falls
        faster than one over their number."""
        x, y = np.log(configurations), np.log(np.maximum(errors, 1e-6))
        centred = x - x.mean()
        slope = float(centred @ y) / max(float(centred @ centred), 1e-12)
        rate = min(max(-slope, 0.0), STEEPEST)
        level = float(np.exp(y.mean() + rate * x.mean()))
        return cls(configurations, errors, level, rate, source)

    def expected(self, configurations: int) -> float:
        """The error to expect with so many configurations: expected, not promised."""
        return float(self.level * max(configurations, 1) ** -self.rate)


def bundled_curve() -> LearningCurve:
    """The curve of the measured ResNet-50 fleet that ships with hdap."""
    sizes, errors = (np.array(column, dtype=np.float64) for column in zip(*BUNDLED, strict=True))
    return LearningCurve.through(sizes, errors, "the measured ResNet-50 fleet that ships with hdap")


def learning_curve(
    kind: type[FleetSurrogate], data: TrainingData, seed: int = 0
) -> LearningCurve | None:
    """The curve of stored data; None where too few pruned configurations were measured."""
    known = len(np.unique(data.configuration[~data.dense]))
    if known < LEAST_CONFIGURATIONS:
        return None
    learned = known - round(HELD_SHARE * known)
    sizes = sorted({max(8, round(share * learned)) for share in SHARES})
    errors = errors_at(kind, data, sizes, seed)
    if len(sizes) < 2 or not np.isfinite(errors).all():
        return None
    return LearningCurve.through(np.array(sizes, np.float64), errors, "this fleet's own data")


def errors_at(
    kind: type[FleetSurrogate], data: TrainingData, sizes: Sequence[int], seed: int
) -> Floats:
    """Held-out error when so many pruned configurations are learned from, for each of the sizes.

    A quarter of the configurations is held out from all clusters, of the others a random part is
    kept; the mean of a few repeats. NaN where that is too little to fit.
    """
    errors = np.empty((REPEATS, len(sizes)))
    for repeat in range(REPEATS):
        rng = np.random.default_rng([seed, repeat])
        pruned = rng.permutation(np.unique(data.configuration[~data.dense]))
        held, known = np.split(pruned, [round(HELD_SHARE * len(pruned))])
        unseen = data.at(np.isin(data.configuration, held))
        for column, size in enumerate(sizes):
            kept: Bools = data.dense | np.isin(data.configuration, known[:size])
            errors[repeat, column] = _error(kind, data.at(kept), unseen, seed)
    result: Floats = errors.mean(axis=0)
    return result


def _error(
    kind: type[FleetSurrogate], known: TrainingData, unseen: TrainingData, seed: int
) -> float:
    try:
        surrogate = kind.fit(known, seed)
    except NotEnoughDataError:
        return float("nan")
    cells = unseen.cells
    predicted = surrogate.predict(cells.counts).log_ms[np.arange(len(cells)), cells.cluster]
    return float(np.abs(np.expm1(predicted - cells.log_ms)).mean())
