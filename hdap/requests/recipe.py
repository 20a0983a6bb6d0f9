"""How a network is trained, apart from what it is trained on. No torch here."""

import math
from dataclasses import dataclass
from typing import Annotated

from hdap.fleet_data.errors import InputError, require_rules
from hdap.requests.setting import Setting
from hdap.requests.shared_settings import Seed

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "step", "constant")


@dataclass(frozen=True)
class Recipe:
    """All that decides the numbers of a training run beside network and data.

    `batch_size` images make a micro-batch and `accumulation` micro-batches a step, over all
    processes together, so that a run on several machines takes the steps that one machine takes.
    The rate rises linearly over `warmup_epochs`, then follows `schedule`: `cosine` to 0
    (Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5, one period), `step` times `decay` every
    `decay_epochs` (as HDAP), or `constant`. `distillation` is the weight of a teacher's opinion,
    read at `temperature` (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015);
    it counts only where there is a teacher. `amp` takes mixed precision where there is a GPU.
    `recalibration` batches reset the batch norms before the first epoch; 0: they stay. `qat`
    (quantisation-aware training) rounds to int8 in every step; validation does not round.

    Raises `InputError` when a number is out of range.
    """

    epochs: Annotated[int, Setting("Epochs.")] = 10
    batch_size: Annotated[int, Setting("Images at once, over all processes.")] = 128
    accumulation: Annotated[int, Setting("Batches whose gradients make one step.")] = 1
    optimizer: Annotated[str, Setting("sgd or adamw.", choices=OPTIMIZERS)] = "sgd"
    lr: Annotated[float, Setting("Learning rate.")] = 0.01
    momentum: Annotated[float, Setting("Momentum; of adamw: beta 1.")] = 0.9
    weight_decay: Annotated[float, Setting("Decay of weights.")] = 1e-4
    schedule: Annotated[
        str,
        Setting(
            "How the rate falls: cosine, step (x0.1 every 10 epochs, as HDAP), constant.",
            choices=SCHEDULES,
        ),
    ] = "cosine"
    warmup_epochs: Annotated[float, Setting("Epochs in which the rate rises.")] = 0.0
    decay: float = 0.1
    decay_epochs: int = 10
    label_smoothing: Annotated[float, Setting("0..1.")] = 0.0
    distillation: Annotated[float, Setting("Weight of the teacher's opinion, 0..1.")] = 0.5
    temperature: Annotated[float, Setting("At which the teacher is read.")] = 4.0
    clip_norm: Annotated[float, Setting("Longest gradient of a step; 0: any.")] = 0.0
    recalibration: Annotated[
        int, Setting("Batches that reset the batch norms before the first epoch; 0: none.")
    ] = 0
    amp: Annotated[bool, Setting("Mixed precision where there is a GPU.")] = True
    qat: Annotated[
        bool, Setting("Train with weights and inputs rounded to int8, for export in int8.")
    ] = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        _check_names(self)
        rules = {
            "epochs >= 1": self.epochs >= 1,
            "batch_size >= 1": self.batch_size >= 1,
            "accumulation >= 1": self.accumulation >= 1,
            "decay_epochs >= 1": self.decay_epochs >= 1,
            "recalibration >= 0": self.recalibration >= 0,
            "seed >= 0": self.seed >= 0,
            "lr > 0": math.isfinite(self.lr) and self.lr > 0,
            "0 <= momentum < 1": 0 <= self.momentum < 1,
            "weight_decay >= 0": math.isfinite(self.weight_decay) and self.weight_decay >= 0,
            "0 <= warmup_epochs < epochs": 0 <= self.warmup_epochs < self.epochs,
            "0 < decay <= 1": 0 < self.decay <= 1,
            "0 <= label_smoothing < 1": 0 <= self.label_smoothing < 1,
            "0 <= distillation <= 1": 0 <= self.distillation <= 1,
            "temperature > 0": math.isfinite(self.temperature) and self.temperature > 0,
            "clip_norm >= 0": math.isfinite(self.clip_norm) and self.clip_norm >= 0,
        }
        require_rules(self, "a training recipe", rules)

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of optimiser step `step` (0 is the first of the run)."""
        epoch = step / steps_per_epoch
        if epoch < self.warmup_epochs:
            return self.lr * (step + 1) / math.ceil(self.warmup_epochs * steps_per_epoch)
        if self.schedule == "cosine":
            share = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
            return self.lr * 0.5 * (1.0 + math.cos(math.pi * share))
        if self.schedule == "step":
            return self.lr * self.decay ** (int(epoch) // self.decay_epochs)
        return self.lr


def _check_names(recipe: Recipe) -> None:
    for what, given, known in (
        ("an optimizer", recipe.optimizer, OPTIMIZERS),
        ("a schedule", recipe.schedule, SCHEDULES),
    ):
        if given not in known:
            raise InputError(f"{what} is one of {', '.join(known)}, but got {given!r}")
