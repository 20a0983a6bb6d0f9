"""One soft mask a channel, learned jointly over all levels: which channels each level keeps.

All-in-One (Gong et al., ICCAD 2022) represents several pruning ratios by one set of weights and one
set of soft masks; its text was not at hand, so the recipe here is ours. A channel has one learned
score. At a level that keeps k of n channels the mask is `sigmoid((score - threshold) / width)`,
where the threshold lies between the k-th and the next score: levels differ in thresholds alone, so
they are nested whatever is learned. `width` shrinks from epoch to epoch until masks are all but
hard. Weights learn beside the scores, on a copy: under soft masks they grow to undo them, so the
levels are then trained from the weights as they were, in the order that was learned.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdap.elastic.channel_order import channel_orders
from hdap.elastic.channel_places import Side, places
from hdap.elastic.levels import Levels
from hdap.elastic.modes import sandwich
from hdap.networks.following import follow_channels
from hdap.networks.layer_kinds.registry import kind_of
from hdap.networks.surgery import Scores
from hdap.requests.recipe import Recipe
from hdap.training.batching import Batch
from hdap.training.losses import Losses, Step

WIDEST, NARROWEST = 0.5, 0.02
"""Of the flank of a mask, in units of a score; scores begin evenly spread over -1..1."""
GAIN = 5.0
"""How much faster a score moves than a weight at the same learning rate and gradient."""


class SoftMasks(nn.Module):
    """A network whose channels are multiplied by the masks of the level that is set, from now on.

    Scores begin in the order that `scores` (one array of `width` a group) gives; a group with
    blocks has one score for a place in all of them. Takes and gives what `module` does.
    """

    def __init__(self, module: nn.Module, levels: Levels, scores: Sequence[Scores]) -> None:
        super().__init__()
        architecture = levels.architecture
        graph = follow_channels(module, architecture.one_input("an elastic network"))
        graph.require_plain("an elastic network")
        self.network, self.levels = module, levels
        self.level, self.width = len(levels) - 1, WIDEST
        self.learned = nn.ParameterList()
        for order, group in zip(
            channel_orders(architecture, scores), architecture.groups, strict=True
        ):
            count = group.width // group.multiple
            ranked = torch.empty(count)
            ranked[torch.from_numpy(order[:count])] = torch.linspace(1.0, -1.0, count)
            self.learned.append(nn.Parameter(ranked / GAIN))
        self._masks: list[Tensor] = []
        for name, both in places(graph, architecture).items():
            if (both.outputs.group >= 0).any():
                module.get_submodule(name).register_forward_hook(self._masking(both.outputs))

    def forward(self, images: Tensor) -> Tensor:
        """The output under the masks of `level`."""
        self._masks = [self._mask(index) for index in range(len(self.learned))]
        output: Tensor = self.network(images)
        return output

    def scores(self) -> tuple[Scores, ...]:
        """What was learned: one array of `width` numbers a group, the highest stay longest."""
        groups = self.levels.architecture.groups
        return tuple(
            np.tile(score.detach().cpu().double().numpy(), group.multiple)
            for score, group in zip(self.learned, groups, strict=True)
        )

    def _mask(self, index: int) -> Tensor:
        group = self.levels.architecture.groups[index]
        kept = int(self.levels.counts[self.level][index]) // group.multiple
        score = self.learned[index] * GAIN
        if kept == len(score):
            return torch.ones_like(score).repeat(group.multiple)
        ranked = score.detach().sort(descending=True).values
        threshold = (ranked[kept - 1] + ranked[kept]) / 2
        return torch.sigmoid((score - threshold) / self.width).repeat(group.multiple)

    def _masking(self, side: Side) -> Any:
        group, root = torch.from_numpy(side.group), torch.from_numpy(side.root)
        parts = [(int(g), group == int(g)) for g in np.unique(side.group) if g >= 0]

        def multiply(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            mask = output.new_ones(len(group))
            for index, channels in parts:
                of_group = self._masks[index][root[channels].to(output.device)]
                mask = mask.masked_scatter(channels.to(output.device), of_group.to(output.dtype))
            last = kind_of(layer).channel_dim(layer, output) == -1
            return output * (mask if last else mask.reshape(-1, *[1] * (output.dim() - 2)))

        return multiply


def jointly(recipe: Recipe, levels: int) -> Losses:
    """The sandwich rule (see `nested`) under masks that grow harder from epoch to epoch."""

    def choose(network: nn.Module, level: int) -> None:
        assert isinstance(network, SoftMasks)
        network.level = level

    inner = sandwich(recipe, levels, choose)

    def losses(network: nn.Module, batch: Batch, step: Step) -> Iterator[Tensor]:
        assert isinstance(network, SoftMasks)
        share = (step.epoch - 1) / max(recipe.epochs - 1, 1)
        network.width = WIDEST * (NARROWEST / WIDEST) ** share
        return inner(network, batch, step)

    return losses
