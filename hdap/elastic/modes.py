"""How the levels of one network are trained: what a stage of a mode minimises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.sliced_layers import covered
from hdap.fleet_data.errors import InputError
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import MODES
from hdap.training.batching import Batch
from hdap.training.losses import Losses, Step, cross_entropy, imitation
from hdap.training.network_quality import forward

BETWEEN = 2
"""Levels drawn between the widest and the narrowest at every step: four in all, as US-Nets do."""
MASK_SHARE = 0.3
"""The part of the epochs of `masked` that learn the masks."""


@dataclass(frozen=True)
class Stage:
    """One run of the training loop: `levels` are those it trains."""

    levels: tuple[int, ...]
    losses: Losses
    after_step: Callable[[nn.Module], None] | None = None


def split_epochs(mode: str, levels: int, recipe: Recipe) -> tuple[int, ...]:
    """Epochs of the stages of a mode: one for `nested`, one a level for `incremental`.

    `masked` learns its masks in the first and then goes on as `nested`. Raises `InputError` for an
    unknown mode, for a single level, and when there are fewer epochs than stages.
    """
    if mode not in MODES:
        raise InputError(f"a mode is one of {', '.join(MODES)}, but got {mode!r}")
    if levels < 2:
        raise InputError(
            f"an elastic network must have two levels or more, but got {levels}; "
            "a network of one size is trained by: hdap finetune"
        )
    stages = {"nested": 1, "masked": 2, "incremental": levels}[mode]
    epochs = recipe.epochs
    if epochs < stages:
        raise InputError(
            f"`{mode}` with {levels} levels needs {stages} epochs or more, but got {epochs}; "
            "raise --epochs"
        )
    if mode == "masked":
        first = min(max(1, round(MASK_SHARE * epochs)), epochs - 1)
        return first, epochs - first
    return tuple(epochs * (i + 1) // stages - epochs * i // stages for i in range(stages))


def stage_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe of a stage, which sets batch norms anew by itself and warms up no longer."""
    warm = min(recipe.warmup_epochs, epochs / 2)
    return replace(recipe, epochs=epochs, warmup_epochs=warm, recalibration=0)


def nested(model: ElasticModel, recipe: Recipe) -> Stage:
    """The sandwich rule with in-place distillation (Yu & Huang, ICCV 2019, 3.2 and 3.4).

    Each step trains the widest level on labels, then the narrowest and `BETWEEN` random others on
    what the widest said. At the recipe's `distillation` of 1 and a temperature of 1 this is theirs;
    below 1 labels count beside it, which small data needs. Theirs adds the losses up; here a step
    minimises their mean, so that a rate that suits a network alone suits this one too.
    """
    count = len(model.levels)
    losses = sandwich(recipe, count, lambda network, level: _elastic(network).set_level(level))
    return Stage(tuple(range(count)), losses)


def sandwich(recipe: Recipe, count: int, choose: Callable[[nn.Module, int], None]) -> Losses:
    """The losses of `nested` for a network whose level, one of `count`, `choose` sets."""
    top, weight = count - 1, recipe.distillation

    def losses(network: nn.Module, batch: Batch, step: Step) -> Iterator[Tensor]:
        images, labels = batch
        between = torch.randperm(max(top - 1, 0), generator=step.rng)[:BETWEEN] + 1
        others = (0, *between.tolist())
        share = 1 / (1 + len(others))
        choose(network, top)
        logits = forward(network, images, labels)
        opinion = logits.detach()
        yield share * cross_entropy(logits, labels, recipe)
        for level in others:
            choose(network, level)
            logits = forward(network, images, labels)
            soft = imitation(logits, opinion, recipe.temperature)
            yield share * ((1 - weight) * cross_entropy(logits, labels, recipe) + weight * soft)
        choose(network, top)

    return losses


def incremental(model: ElasticModel, recipe: Recipe, level: int) -> Stage:
    """One group of channels after the other, earlier ones frozen (Xun et al., MLCAD 2019).

    Level 0 is trained as a network of its own; level i trains what it has beyond level i - 1 and
    its own norms. What lower levels compute stays the same to the last bit: they run on none of
    the numbers that move.
    """
    frozen = _frozen(model, level)

    def losses(network: nn.Module, batch: Batch, step: Step) -> Iterator[Tensor]:
        images, labels = batch
        elastic = _elastic(network)
        elastic.set_level(level)
        yield cross_entropy(forward(elastic, images, labels), labels, recipe)

    def restore(network: nn.Module) -> None:
        # Decay and momentum move weights without a gradient too.
        for tensor, inside, before in frozen:
            tensor.copy_(torch.where(inside, before, tensor))

    return Stage((level,), losses, restore if level else None)


def _frozen(model: ElasticModel, level: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Tensors, which of their numbers must stay, and what those are now."""
    if not level:
        return []
    within = [
        (tensor, covered(tensor, chosen))
        for tensor, chosen in model.weights_within(level - 1).values()
    ]
    others = [*model.network.parameters(), *model.network.buffers()]
    within += [(tensor, torch.ones_like(tensor, dtype=torch.bool)) for tensor in others]
    return [(tensor.detach(), inside, tensor.detach().clone()) for tensor, inside in within]


def _elastic(network: nn.Module) -> ElasticModel:
    assert isinstance(network, ElasticModel)
    return network
