"""How latency changes with the clock, the temperature and the load: a roofline split in two.

What computes takes `1 / clock` as long, what moves memory partly does so. So at a share r of the
reference clock a network takes `1 + e (1 / r - 1)` times as long, where its sensitivity `e = q
compute + (1 - q) memory` mixes the two by q, the share of its time that the cost model prices as
computing (Williams et al., "Roofline", CACM 52(4), 2009). Temperature and load act on the logarithm
in a line. All clusters share the coefficients; `context_learning` learns them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats


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


UNIT = 10.0
"""Degrees Celsius, and percentage points of load, that a coefficient is for."""
SENSITIVITY = (0.0, 1.3)
TRANSFER_WIDTH = 0.4
"""Log clock beyond a cluster's own range at which the spread between clusters counts in full."""
BEYOND_FLEET = 0.5
"""Standard deviation for each unit of log clock beyond all that the fleet has seen."""
BEYOND_LINE = 0.5
"""Of a linear effect, relative to the effect: it is only a line near what was seen."""


@dataclass(frozen=True)
class ContextEffect:
    """`mean` (4) and `covariance` (4 x 4) of the coefficients: compute, memory, temperature, load.

    `column` reports the clock (empty: none does); `reference` is the fleet's clock, MHz; `typical`,
    `low` and `high` (K) each cluster's, NaN where none was reported. `known` (4, 0 or 1) says which
    coefficients helped in validation; `cluster_sd` by how much clusters differ beyond their clocks.
    """

    column: str
    reference: float
    mean: Floats
    covariance: Floats
    known: Floats
    cluster_sd: float
    typical: Floats
    low: Floats
    high: Floats

    SHARED = ("column", "reference", "mean", "covariance", "known", "cluster_sd")
    OWN = ("typical", "low", "high")

    @property
    def ranges(self) -> tuple[ContextRange, ...]:
        """What was seen, cluster by cluster; empty where no clock was ever reported."""
        if not self.column:
            return ()
        every = zip(self.typical, self.low, self.high, strict=True)
        return tuple(ContextRange(self.column, float(t), float(a), float(b)) for t, a, b in every)

    def shift(self, context: Context, compute_share: Floats) -> tuple[Floats, Floats]:
        """Change of log latency and its variance, `n x K` each; `compute_share` is n.

        Raises InputError where what is asked was never reported.
        """
        self._check(context)
        start = np.nan_to_num(self.typical / self.reference, nan=1.0)
        goal = start * context.clock_scale
        before, slope_before = clock_effect(self.mean, compute_share[:, None], start)
        after, slope_after = clock_effect(self.mean, compute_share[:, None], goal)
        lines = np.array([context.temperature_shift, context.load_shift]) / UNIT
        slope = slope_after - slope_before
        variance = np.einsum("nki,ij,nkj->nk", slope, self.covariance[:2, :2], slope)
        variance += lines @ self.covariance[2:, 2:] @ lines
        variance += float((BEYOND_LINE * lines * self.mean[2:]) @ (lines * self.mean[2:]))
        variance += self._transfer_variance(context.clock_scale)
        return after - before + float(lines @ self.mean[2:]), variance

    def unseen(self, scale: float) -> Floats:
        """How far a cluster (K) must go by what others did to say anything at `scale` times its
        typical clock: 0 inside its own range to 1."""
        own, _ = self._beyond(scale)
        return np.minimum(own / TRANSFER_WIDTH, 1.0)

    def _transfer_variance(self, scale: float) -> Floats:
        _, fleet = self._beyond(scale)
        between: Floats = (self.cluster_sd * self.unseen(scale)) ** 2
        return between + (BEYOND_FLEET * fleet) ** 2

    def _beyond(self, scale: float) -> tuple[Floats, Floats]:
        """Log clock beyond a cluster's own range and beyond the fleet's, K each."""
        nothing = np.zeros(len(self.typical))
        if scale == 1.0 or not self.column:
            return nothing, nothing
        typical = np.where(np.isfinite(self.typical), self.typical, self.reference)
        asked = np.log(typical * scale)
        low = np.log(np.fmin(self.low, typical))
        high = np.log(np.fmax(self.high, typical))
        own = np.maximum(np.maximum(low - asked, asked - high), 0.0)
        fleet = np.maximum(np.maximum(low.min() - asked, asked - high.max()), 0.0)
        return own, fleet

    def _check(self, context: Context) -> None:
        asked = (
            ("clock", context.clock_scale != 1.0, bool(self.column), "cpu_freq_mhz"),
            ("temperature", context.temperature_shift != 0.0, self.known[2] > 0, "temperature_c"),
            ("load", context.load_shift != 0.0, self.known[3] > 0, "cpu_load_pct"),
        )
        for name, wanted, there, column in asked:
            if wanted and not there:
                raise InputError(
                    f"the {name} must be reported and move latency to ask what if, but the "
                    f"measurements of this model show no effect of it ({context=}); "
                    f"load rows with `{column}`: hdap ingest"
                )

    def arrays(self, cluster: int) -> dict[str, Any]:
        """All of one cluster, for its payload."""
        shared = {f"context_{n}": np.array(getattr(self, n)) for n in self.SHARED}
        return shared | {f"context_{n}": getattr(self, n)[cluster] for n in self.OWN}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What `arrays` calls them."""
        return tuple(f"context_{n}" for n in cls.SHARED + cls.OWN)

    @classmethod
    def from_arrays(cls, parts: Sequence[Mapping[str, Any]]) -> "ContextEffect":
        """Inverse of `arrays` for all clusters."""
        first = {n: parts[0][f"context_{n}"] for n in cls.SHARED}
        own = {n: np.array([float(p[f"context_{n}"]) for p in parts]) for n in cls.OWN}
        return cls(
            column=str(first["column"]),
            reference=float(first["reference"]),
            mean=first["mean"],
            covariance=first["covariance"],
            known=first["known"],
            cluster_sd=float(first["cluster_sd"]),
            **own,
        )


def clock_effect(mean: Floats, compute_share: Floats, clock: Floats) -> tuple[Floats, Floats]:
    """Log latency over that at the reference clock, and its slope in the first two coefficients.

    `clock` is over the reference; shapes of `clock` and `compute_share` broadcast to some shape s,
    the result is s and `s x 2`.
    """
    sensitivity = mean[0] * compute_share + mean[1] * (1.0 - compute_share)
    longer = 1.0 / clock - 1.0
    factor = np.maximum(1.0 + np.clip(sensitivity, *SENSITIVITY) * longer, 0.1)
    slope = longer / factor
    return np.log(factor), np.stack([slope * compute_share, slope * (1.0 - compute_share)], axis=-1)
