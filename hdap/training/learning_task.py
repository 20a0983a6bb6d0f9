"""What a training minimises and how its network is judged: images of classes, or the user's own."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from hdap.requests.recipe import Recipe
from hdap.training.batching import batches
from hdap.training.datasets import Samples
from hdap.training.losses import Losses, distilled, supervised
from hdap.training.network_quality import Quality, evaluate, recalibrate_by


class LearningTask(ABC):
    """The contract: batches, what a step minimises over one, and how a network is judged.

    `calls_module`: losses need the network itself and not a copy wrapped for several processes.
    """

    calls_module = False

    @abstractmethod
    def losses(self, recipe: Recipe, teacher: nn.Module | None) -> Losses:
        """What a step minimises. Raises `InputError` where it cannot learn from a teacher."""

    @staticmethod
    @abstractmethod
    def batches(
        samples: Samples,
        groups: Sequence[list[int]],
        *,
        workers: int = 0,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> Iterator[Any]:
        """A batch for each group of places, as `losses` takes it."""

    @abstractmethod
    def evaluate(self, module: nn.Module, samples: Samples, *, workers: int = 0) -> Quality:
        """Judge a network where its parameters are; it is left in the mode that it was in."""

    @abstractmethod
    def recalibrate(self, recipe: Recipe, module: nn.Module, samples: Samples) -> None:
        """Set batch norms anew as a recipe says, which may be not at all."""


class Classification(LearningTask):
    """Cross-entropy and accuracy of images that have one class each."""

    batches = staticmethod(batches)

    def losses(self, recipe: Recipe, teacher: nn.Module | None) -> Losses:
        return supervised(recipe) if teacher is None else distilled(teacher, recipe)

    def evaluate(self, module: nn.Module, samples: Samples, *, workers: int = 0) -> Quality:
        return evaluate(module, samples, workers=workers)

    def recalibrate(self, recipe: Recipe, module: nn.Module, samples: Samples) -> None:
        recalibrate_by(recipe, module, samples)


CLASSIFICATION = Classification()
