"""What a configuration keeps of the network: the stand-in for quality inside a search."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats


@dataclass(frozen=True)
class Importance:
    """The share of channel importance kept, by width group and channel count.

    `curves[g][c]` is the share (0..1) that the c most important channels of group g hold, for
    c = 0..width: non-decreasing, 0 at none and 1 at all. `source` says in words where it is from.

    Raises:
        InputError: a curve is not such a share.
    """

    source: str
    curves: tuple[Floats, ...]

    def __post_init__(self) -> None:
        for group, curve in enumerate(self.curves):
            ends = len(curve) > 1 and curve[0] >= 0.0 and abs(curve[-1] - 1.0) < 1e-6
            if not ends or not np.isfinite(curve).all() or (np.diff(curve) < -1e-9).any():
                raise InputError(
                    f"an importance curve must rise from 0 to 1 over 0..width channels, but "
                    f"{group=} has {curve[:3]}...{curve[-1:]}: pass shares of the total"
                )

    @classmethod
    def by_channels(cls, architecture: Architecture) -> "Importance":
        """Every channel of a group counts the same: what is known without any weights."""
        curves = tuple(np.arange(w + 1, dtype=np.float64) / w for w in architecture.widths)
        return cls("share of channels", curves)

    @cached_property
    def logarithms(self) -> Floats:
        """Logarithms of the curves, `groups x (largest width + 1)`; flat after a group's width."""
        table = np.zeros((len(self.curves), max(map(len, self.curves))))
        for row, curve in zip(table, self.curves, strict=True):
            row[: len(curve)] = np.log(np.maximum(curve, 1e-12))
        return table

    def log_shares(self, counts: Counts) -> Floats:
        """Logarithm of the share kept in each group: `n x groups` -> `n x groups`."""
        shares: Floats = self.logarithms[np.arange(counts.shape[1]), counts]
        return shares

    def log_kept(self, counts: Counts) -> Floats:
        """Logarithm of `kept`: `n x groups` -> `n`."""
        mean: Floats = self.log_shares(counts).mean(axis=1)
        return mean

    def kept(self, counts: Counts) -> Floats:
        """Kept importance, the geometric mean over groups: `n x groups` -> `n`, in 0..1."""
        return np.exp(self.log_kept(counts))
