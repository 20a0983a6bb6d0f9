"""What if: the circumstances in which a prediction is asked for."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.errors import InputError


@dataclass(frozen=True)
class Context:
    """Circumstances relative to what is typical of each cluster.

    `clock_scale` is the clock over the typical one, `temperature_shift` degrees Celsius warmer,
    `load_shift` percentage points more load. Raises InputError where a number is impossible.
    """

    clock_scale: float = 1.0
    temperature_shift: float = 0.0
    load_shift: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.clock_scale < np.inf:
            raise InputError(
                f"`clock_scale` must be above 0, but got {self.clock_scale=}; 0.6 asks for 60 %"
            )
        if not np.isfinite([self.temperature_shift, self.load_shift]).all():
            raise InputError(f"shifts must be finite, but got {self}")

    @property
    def typical(self) -> bool:
        """Whether this is every cluster's typical context."""
        return self == Context()


@dataclass(frozen=True)
class ContextRange:
    """What was seen of a cluster's clock: `column` it was reported in, `typical` of its devices and
    the `low`est and `high`est of its rows, MHz (NaN: none reported here)."""

    column: str
    typical: float
    low: float
    high: float
