"""What follows from a compression that was asked for: the budget and the limits of every step."""

import math

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.requests.compression_request import CompressRequest

HDAP_CUT = 0.2
"""HDAP lets a step take at most 20 % of a layer's channels (arXiv 2512.00017, experiments)."""


def flops_schedule(dense: int, budget: int, steps: int) -> list[int]:
    """FLOPs after each step, a geometric sequence that ends at the budget."""
    shares = [k / steps for k in range(1, steps)]
    return [round(dense * (budget / dense) ** share) for share in shares] + [budget]


def step_limits(
    architecture: Architecture, counts: Counts, cut: float
) -> dict[str, tuple[int, int]]:
    """Least and most channels of each group after a step that begins with `counts` (`groups`)."""
    return {
        group.name: (max(1, math.ceil(int(now) * (1.0 - cut))), int(now))
        for group, now in zip(architecture.groups, counts, strict=True)
    }


def step_cut(request: CompressRequest, before: int, after: int) -> float:
    """The share of a group's channels that a step from `before` to `after` FLOPs may take.

    FLOPs go with the square of a ratio that all groups share.
    """
    if request.max_cut is not None:
        return request.max_cut
    if request.steps == 1:
        return 1.0
    return min(1.0, max(HDAP_CUT, 2.0 * (1.0 - math.sqrt(after / before))))
