"""What a configuration keeps of the network: the stand-in for quality inside a search."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.search.problem.proxies import LogMean, Proxy


@dataclass(frozen=True)
class Importance:
    """The share of channel importance kept, by width group and channel count.

    `curves[g][c]` is the share (0..1) that the c most important channels of group g hold, for
    c = 0..width: non-decreasing, 0 at none and 1 at all. `source` says in words where it is from.
    `proxy` makes one number of the shares of all groups, which count by `weights` (`groups`; None:
    all alike).

    Raises:
        InputError: a curve is not such a share.
    """

    source: str
    curves: tuple[Floats, ...]
    proxy: Proxy = field(default_factory=LogMean)
    weights: Floats | None = None

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

    def with_proxy(self, proxy: Proxy, architecture: Architecture) -> "Importance":
        """The same shares, made one number by another proxy."""
        return replace(self, proxy=proxy, weights=proxy.weights(architecture))

    def weighed(self, worth: Floats, source: str) -> "Importance":
        """Shares to the power of what each group is worth (`groups`, none negative): by a proxy of
        logarithms it counts for so much more or less."""
        curves = zip(self.curves, worth, strict=True)
        return replace(self, source=source, curves=tuple(c ** float(w) for c, w in curves))

    @cached_property
    def logarithms(self) -> Floats:
        """What each count adds to the logarithm of kept importance, times the number of groups.

        `groups x (largest width + 1)`; flat after a group's width.
        """
        table = np.zeros((len(self.curves), max(map(len, self.curves))))
        for row, curve in zip(table, self.curves, strict=True):
            row[: len(curve)] = self.proxy.terms(curve)
        return table if self.weights is None else table * self.weights[:, None]

    def log_shares(self, counts: Counts) -> Floats:
        """`logarithms` of each group: `n x groups` -> `n x groups`."""
        shares: Floats = self.logarithms[np.arange(counts.shape[1]), counts]
        return shares

    def log_kept(self, counts: Counts) -> Floats:
        """Logarithm of `kept`: `n x groups` -> `n`."""
        mean: Floats = self.log_shares(counts).mean(axis=1)
        return mean

    def kept(self, counts: Counts) -> Floats:
        """Kept importance as `proxy` sees it: `n x groups` -> `n`, in 0..1."""
        return np.exp(self.log_kept(counts))
