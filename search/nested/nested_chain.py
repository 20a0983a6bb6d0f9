"""What is asked of a nested chain of configurations, and what one is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.search.nested.operating_points import OperatingPoints
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.defaults import DEFAULT_RISK, DEFAULT_THRESHOLD
from hdap.search.problem.kept_importance import Importance

MOST_LEVELS = 16


@dataclass(frozen=True)
class NestedRequest:
    """What is asked of a chain: every point of `points` within `target_ms`, doubt included.

    `risk` is how many standard deviations of the surrogates are added to a latency before it is
    compared with the target.
    """

    points: OperatingPoints
    target_ms: float
    importance: Importance
    band: FlopsBand
    min_levels: int = 1
    max_levels: int = 5
    step: int = 1
    min_width: int | None = None
    fixed: Mapping[str, int] = field(default_factory=dict)
    risk: float = DEFAULT_RISK
    threshold: float = DEFAULT_THRESHOLD
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_levels <= self.max_levels <= MOST_LEVELS:
            raise InputError(
                f"`1 <= min-levels <= max-levels <= {MOST_LEVELS}` must hold, but got "
                f"{self.min_levels} and {self.max_levels}"
            )

    def ucb_ms(self, counts: Counts) -> Floats:
        """Latencies with doubt: `n x groups` -> `n x P`."""
        found = self.points.predict(counts)
        return np.exp(found.log_ms + self.risk * found.log_sd)


@dataclass(frozen=True)
class Chain:
    """Levels, the smallest first (`levels x groups`), and which serves each of P points.

    `kept` is each level's kept importance; `mean_kept` weighs the points, `worst_kept` is that of
    the point that must give up most.
    """

    counts: Counts
    level: Ints
    kept: Floats
    mean_kept: float
    worst_kept: float

    def __len__(self) -> int:
        """Number of levels."""
        return len(self.counts)


def require_nested(counts: Counts, names: tuple[str, ...]) -> None:
    """Raise InputError, naming the group, where a level (`levels x groups`) is not within the next.

    `names` are those of the width groups.
    """
    for low, (one, other) in enumerate(pairwise(counts)):
        wider = np.flatnonzero(one > other)
        if len(wider):
            group = int(wider[0])
            raise InputError(
                f"every level must be a prefix of the next, but {names[group]} has {one[group]} "
                f"channels at level {low} and {other[group]} at level {low + 1}: "
                f"give level {low} at most {other[group]}"
            )
        if (one == other).all():
            raise InputError(
                f"levels must differ, but levels {low} and {low + 1} are the same: remove one"
            )
