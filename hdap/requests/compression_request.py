"""What a person asks of a compression."""

from dataclasses import dataclass
from typing import Annotated

from hdap.fleet_data.errors import InputError, require_rules
from hdap.requests.recipe import Recipe
from hdap.requests.setting import Setting, Without
from hdap.requests.shared_settings import (
    DEFAULT_CRITERION,
    Criterion,
    ImageData,
    Model,
    OwnLoss,
    OwnMetric,
    Pretrained,
    Teacher,
    Tolerance,
    Unreadable,
    ValidationShare,
)
from hdap.requests.training_request import PRUNED_RECIPE, check_own_code

GUARD_RATIO = 0.9
"""Of several steps: a step that loses more has cut what the next one builds on."""


@dataclass(frozen=True)
class CompressRequest:
    """From the dense model to `flops` in `steps`; written down, so that it can be resumed.

    A step may take `max_cut` of a group's channels; None: 20 % as HDAP, or twice what uniform
    pruning would take where that is more; a single step takes what it likes. Of a network with
    accuracy A on the guard's images (`guard_share` of the training images, which nothing learns
    from) a pruned one must reach `guard_ratio` x A before it is tuned; up to `candidates`
    trials of a step's short list may try. With `loss` and `metric` the metric stands for accuracy.
    `weights` (a file) or timm's (`pretrained`) are the dense
    model's. `objective`, `tolerance` and `trials` are the searches'; the recipe is every step's.

    Raises `InputError` when a number is out of range.
    """

    model: Model
    flops: Annotated[str, Setting("Budget: 1.0G, 300M, 1e9, or 25% of the dense model.")]
    data: ImageData
    recipe: Annotated[Recipe, Without.these("recalibration")] = PRUNED_RECIPE
    steps: Annotated[
        int,
        Setting("Steps to the budget; 1 goes there at once, which costs least training.", low=1),
    ] = 1
    weights: Annotated[
        str, Setting("State dict (.pt, .pth, .safetensors) of the dense network.", there="file")
    ] = ""
    pretrained: Pretrained = False
    min_accuracy_ratio: Annotated[
        float | None,
        Setting(
            "What a step's pruned network must keep of its accuracy before it is tuned. Default: "
            "0.9; of a single step nothing, which tuning brings back."
        ),
    ] = None
    guard_share: Annotated[
        float, Setting("Part of the training images that the guard judges by.")
    ] = 0.1
    max_cut: Annotated[
        float | None,
        Setting(
            "Most a step may take of a group's channels. Default: 0.2, as HDAP, or twice what "
            "uniform pruning would take; with one step: any."
        ),
    ] = None
    candidates: Annotated[
        int, Setting("Trials of a step's short list that may try.", low=1, high=10)
    ] = 10
    criterion: Criterion = DEFAULT_CRITERION
    objective: Annotated[str, Setting("What the searches minimise: mean, p95, worst.")] = "mean"
    tolerance: Tolerance = None
    trials: Annotated[
        int, Setting("Trials of each step's search.", also="search-trials", low=1)
    ] = 2000
    teacher: Teacher = ""
    loss: OwnLoss = ""
    metric: OwnMetric = ""
    validation_share: ValidationShare = 0.1
    unreadable: Unreadable = "stop"

    @property
    def guard_ratio(self) -> float:
        """What a pruned network must keep of its accuracy, as it was settled."""
        if self.min_accuracy_ratio is not None:
            return self.min_accuracy_ratio
        return 0.0 if self.steps == 1 else GUARD_RATIO

    def __post_init__(self) -> None:
        rules = {
            "steps >= 1": self.steps >= 1,
            "0 <= min_accuracy_ratio <= 1": 0 <= self.guard_ratio <= 1,
            "0 < guard_share < 1": 0 < self.guard_share < 1,
            "1 <= candidates <= 10": 1 <= self.candidates <= 10,
            "0 < max_cut < 1": self.max_cut is None or 0 < self.max_cut < 1,
            "trials >= 1": self.trials >= 1,
        }
        require_rules(self, "a compression", rules)
        check_own_code(self.loss, self.metric, self.teacher, self.recipe)
        if self.loss and not self.metric:
            raise InputError(
                "a compression guards what a network has of its accuracy, but `--loss` says "
                "nothing of that; give --metric package.module:function too"
            )
        if self.loss and self.criterion == "taylor":
            raise InputError(
                "the criterion taylor differentiates cross-entropy, but the network is tuned by "
                f"--loss {self.loss}; give another --criterion, l2 for instance"
            )
        if not self.weights and not self.pretrained:
            raise InputError(
                "a compression keeps the accuracy of a trained network, but got no weights; "
                "give --weights FILE or --pretrained"
            )
