"""What a person asks of a compression, and what follows from it for every step. No torch here."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.search.problem.budget import DEFAULT_TOLERANCE
from hdap.training.recipe import Recipe

HDAP_CUT = 0.2
"""HDAP lets a step take at most 20 % of a layer's channels (arXiv 2512.00017, experiments)."""


@dataclass(frozen=True)
class CompressRequest:
    """From the dense model to `flops` in `steps`; written down, so that it can be resumed.

    A step may take `max_cut` of a group's channels; None: 20 % as HDAP, or twice what uniform
    pruning would take where that is more; a single step takes what it likes. Of a network with
    accuracy A on the guard's images (`guard_share` of the training images, which nothing learns
    from) a pruned one must reach `min_accuracy_ratio` x A before it is tuned; up to `candidates`
    trials of a step's short list may try. `weights` (a file) or timm's (`pretrained`) are the dense
    model's. `objective`, `tolerance` and `trials` are the searches'; the recipe is every step's.

    Raises `InputError` when a number is out of range.
    """

    model: str
    flops: str
    data: str
    recipe: Recipe
    steps: int = 1
    min_accuracy_ratio: float = 0.9
    guard_share: float = 0.1
    candidates: int = 10
    max_cut: float | None = None
    criterion: str = "l2"
    objective: str = "mean"
    tolerance: float = DEFAULT_TOLERANCE
    trials: int = 2000
    weights: str = ""
    pretrained: bool = False
    teacher: str = ""
    validation_share: float = 0.1
    unreadable: str = "stop"

    def __post_init__(self) -> None:
        rules = {
            "steps >= 1": self.steps >= 1,
            "0 <= min_accuracy_ratio <= 1": 0 <= self.min_accuracy_ratio <= 1,
            "0 < guard_share < 1": 0 < self.guard_share < 1,
            "1 <= candidates <= 10": 1 <= self.candidates <= 10,
            "0 < max_cut < 1": self.max_cut is None or 0 < self.max_cut < 1,
            "trials >= 1": self.trials >= 1,
        }
        for rule, kept in rules.items():
            if not kept:
                name = next(word for word in rule.split() if word.isidentifier())
                raise InputError(
                    f"`{rule}` must hold for a compression, but got {name}={getattr(self, name)}"
                )
        if not self.weights and not self.pretrained:
            raise InputError(
                "a compression keeps the accuracy of a trained network, but got no weights; "
                "give --weights FILE or --pretrained"
            )

    def to_plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


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
