"""Optimisers by name."""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from hdap.requests.recipe import Recipe

Groups = list[dict[str, object]]


def make_optimizer(module: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the parameters of `module` that are trained.

    Scales and biases (one-dimensional parameters) do not decay: decay would only rescale what batch
    norm normalises (He et al., "Bag of Tricks", CVPR 2019, 3.1).
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups: Groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZER_KINDS[recipe.optimizer]([g for g in groups if g["params"]], recipe)


def _sgd(groups: Groups, recipe: Recipe) -> Optimizer:
    """Stochastic gradient descent with Nesterov's momentum."""
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )


def _adamw(groups: Groups, recipe: Recipe) -> Optimizer:
    """Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019."""
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))


OPTIMIZER_KINDS: Mapping[str, Callable[[Groups, Recipe], Optimizer]] = {
    "sgd": _sgd,
    "adamw": _adamw,
}
