"""What a person asks of a training, from a network or a checkpoint to a folder of checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hdap.fleet_data.errors import InputError, require_rules
from hdap.requests.recipe import Recipe
from hdap.requests.setting import Setting, Without
from hdap.requests.shared_settings import (
    ImageData,
    OwnLoss,
    OwnMetric,
    Readers,
    Teacher,
    Unreadable,
    ValidationShare,
)

MODES = ("nested", "masked", "incremental")
"""How an elastic network is trained."""
SCOPES = ("global", "layer")
"""Among which weights the smallest go."""
DENSE_RECIPE = Recipe()
PRUNED_RECIPE = Recipe(lr=0.025, recalibration=20)
"""Of pruned networks, which have more to learn again than a rate of 0.01 lets them in few epochs
(`benchmarks.quality.recipes`); what their batch norms know is of a wider network."""
_UNKNOWN_TO_SPARSE = ("distillation", "temperature", "recalibration", "qat")


@dataclass(frozen=True)
class TrainingRequest:
    """What is to be done: `out` gets the checkpoint, `data` and `teacher` are what the user calls
    them (teacher: a weights file, `pretrained`, or nothing). `run` names the epochs in the store,
    where it is free; by default the folder's name does. `loss` and `metric` are code of the user's
    own (see `check_own_code`).
    """

    out: Annotated[Path, Setting("Folder for the tuned checkpoint.")]
    data: ImageData
    recipe: Recipe = PRUNED_RECIPE
    teacher: Teacher = ""
    loss: OwnLoss = ""
    metric: OwnMetric = ""
    validation_share: ValidationShare = 0.1
    unreadable: Unreadable = "stop"
    workers: Readers = None
    run: str = ""

    def __post_init__(self) -> None:
        check_own_code(self.loss, self.metric, self.teacher, self.recipe)


@dataclass(frozen=True)
class ElasticTraining(TrainingRequest):
    """A training of levels, by the widest of which the others learn: there is no other teacher."""

    out: Annotated[Path, Setting("Folder for the elastic checkpoint.")]
    recipe: Annotated[Recipe, Without.these("qat")] = PRUNED_RECIPE
    teacher: str = ""
    loss: str = ""
    metric: str = ""
    mode: Annotated[
        str,
        Setting(
            "nested (all levels at once), masked (learns which channels stay, then nested), "
            "incremental (one level after the other, what lower levels compute stays).",
            choices=MODES,
        ),
    ] = "nested"


@dataclass(frozen=True)
class SparseTraining(TrainingRequest):
    """What is to be done: `levels` sparse ones after the dense one, without a teacher.

    Each loses `rate` of the weights that are left, by `scope` (see `hdap.portfolio.magnitude`), and
    goes on from the weights after `rewind` epochs of the dense training, 0: from its first ones;
    None: after the first, where more follow.
    Raises `InputError` when a number is out of range.
    """

    out: Annotated[Path, Setting("Folder for the levels, a checkpoint each.")]
    recipe: Annotated[Recipe, Without.these(*_UNKNOWN_TO_SPARSE)] = DENSE_RECIPE
    teacher: str = ""
    loss: str = ""
    metric: str = ""
    levels: Annotated[
        int, Setting("Sparse levels after the dense one.", flag="sparse-levels", low=1)
    ] = 25
    rate: Annotated[float, Setting("Part of the weights left that a level loses.")] = 0.2
    rewind: Annotated[
        int | None,
        Setting(
            "Epoch whose weights every level goes back to; 0: the first ones. Default: 1, of one "
            "epoch 0."
        ),
    ] = None
    scope: Annotated[
        str,
        Setting(
            "Smallest weights of the whole network (global) or of each layer (layer).",
            choices=SCOPES,
        ),
    ] = "global"

    def __post_init__(self) -> None:
        rules = {
            "levels >= 1": self.levels >= 1,
            "0 < rate < 1": 0 < self.rate < 1,
            f"0 <= rewind < {self.recipe.epochs} epochs": 0 <= self.rewind_to < self.recipe.epochs,
            f"scope is one of {', '.join(SCOPES)}": self.scope in SCOPES,
        }
        require_rules(self, "a sparse training", rules)

    @property
    def rewind_to(self) -> int:
        """The epoch whose weights every level goes back to."""
        return min(1, self.recipe.epochs - 1) if self.rewind is None else self.rewind


def check_own_code(loss: str, metric: str, teacher: str, recipe: Recipe) -> None:
    """Raises `InputError` where what is asked beside a loss of the user's own is not its."""
    if metric and not loss:
        raise InputError(
            f"`--metric` judges what `--loss` tunes, but got --metric {metric} alone; give --loss "
            "too, or leave it out: classes are judged by accuracy"
        )
    if loss and teacher:
        raise InputError(
            f"a teacher's opinion is of classes, so a network learns from `--loss` or from a "
            f"teacher, but got --loss {loss} and --teacher {teacher}; leave one out"
        )
    if loss and recipe.label_smoothing:
        raise InputError(
            f"labels are smoothed in cross-entropy, but got --label-smoothing "
            f"{recipe.label_smoothing} with --loss {loss}; leave one out"
        )


def judged_by(loss: str, metric: str) -> str:
    """What the number in accuracy's place is; "" where there is none, only a loss."""
    if loss:
        return metric.rpartition(":")[2]
    return "accuracy"
