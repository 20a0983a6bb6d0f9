"""What a training step minimises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdap.requests.recipe import Recipe
from hdap.training.batching import Batch
from hdap.training.network_quality import forward


@dataclass(frozen=True)
class Step:
    """Where a run stands: `epoch` from 1, `number` of the optimiser step in the run from 0.

    `rng` (CPU) follows from the seed and the epoch, so what is drawn from it is the same in all
    processes and in a resumed run.
    """

    epoch: int
    number: int
    rng: torch.Generator


Losses = Callable[[nn.Module, Any, Step], Iterator[Tensor]]
"""Called with (network, batch, step); yields scalar losses. A batch is (images `n x C x H x W`,
labels `n`) unless the training has a task of the user's own.

Each is differentiated as soon as it is yielded and gradients add up, so several forward passes of
one step (the sandwich rule) need the memory of one. Their sum is what is reported.
"""


def supervised(recipe: Recipe) -> Losses:
    """Cross-entropy with the recipe's label smoothing (Szegedy et al., CVPR 2016, section 7)."""

    def losses(module: nn.Module, batch: Batch, step: Step) -> Iterator[Tensor]:
        images, labels = batch
        yield cross_entropy(forward(module, images, labels), labels, recipe)

    return losses


def distilled(teacher: nn.Module, recipe: Recipe) -> Losses:
    """Cross-entropy mixed with a teacher's opinion at the recipe's weight and temperature.

    The teacher is used as it is, in the mode and at the place that the caller chose.
    """
    weight, temperature = recipe.distillation, recipe.temperature

    def losses(module: nn.Module, batch: Batch, step: Step) -> Iterator[Tensor]:
        images, labels = batch
        with torch.no_grad():
            opinion = forward(teacher, images, labels)
        logits = forward(module, images, labels)
        hard = cross_entropy(logits, labels, recipe)
        yield (1 - weight) * hard + weight * imitation(logits, opinion, temperature)

    return losses


def imitation(logits: Tensor, opinion: Tensor, temperature: float = 1.0) -> Tensor:
    """How far `logits` are from a teacher's, `n x classes` both, per image.

    T^2 KL(teacher / T || network / T), whose gradients have the size of cross-entropy's (Hinton et
    al., "Distilling the Knowledge in a Neural Network", 2015, section 2.1).
    """
    own = functional.log_softmax(logits.float() / temperature, dim=1)
    wanted = functional.log_softmax(opinion.float() / temperature, dim=1)
    divergence = functional.kl_div(own, wanted, log_target=True, reduction="batchmean")
    return divergence * temperature**2


def cross_entropy(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Of logits `n x classes` with labels `n`, with the recipe's label smoothing."""
    return functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
