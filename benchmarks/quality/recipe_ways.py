"""Ways to tune a pruned network that cost the same, and how each is done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.quality.frontier_plan import TUNING_RECIPE
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.networks.channel_importance import OutputRows, channel_importance
from hdap.networks.surgery import kept_channels, prune
from hdap.networks.tracing import describe
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data, part
from hdap.training.losses import Losses, Step, supervised
from hdap.training.training_loop import train

PLAIN = "plain"
EPOCHS = 2
BOTH_WAYS = 3
"""Forward, and backward for weights and for inputs, cost about three passes forward."""


@dataclass(frozen=True)
class Way:
    """`recipe` for every step's training; `penalised` of the cost goes into shrinking, while the
    network is whole, the channels that will go (weight `penalty`; Wang et al., "Neural Pruning via
    Growing Regularization", ICLR 2021, with the penalty constant)."""

    name: str
    recipe: Recipe
    steps: int = 1
    distilled: bool = False
    penalised: float = 0.0
    penalty: float = 1e-2


_BASE = replace(TUNING_RECIPE, epochs=EPOCHS)
WAYS = (
    Way(PLAIN, _BASE),
    Way("rate 0.01", replace(_BASE, lr=0.01)),
    Way("rate 0.1", replace(_BASE, lr=0.1)),
    Way("rate 0.025, batches of 128", replace(_BASE, lr=0.025, batch_size=128)),
    Way("rate 0.01, batches of 128", replace(_BASE, lr=0.01, batch_size=128)),
    Way("rate of the dense network", replace(_BASE, lr=0.2, warmup_epochs=0.3)),
    Way("constant rate", replace(_BASE, schedule="constant")),
    Way("batch norms not reset", replace(_BASE, recalibration=0)),
    Way("label smoothing", replace(_BASE, label_smoothing=0.1)),
    Way("teacher, half", replace(_BASE, distillation=0.5), distilled=True),
    Way("teacher, most", replace(_BASE, distillation=0.9), distilled=True),
    Way("two steps", _BASE, steps=2),
    Way("four steps", _BASE, steps=4),
    Way("penalised first", _BASE, penalised=0.3),
)


@dataclass(frozen=True)
class Budget:
    """`images` of the plain way in each of `EPOCHS`, on the network with `share` of dense FLOPs."""

    share: float
    images: int

    def share_after(self, step: int, way: Way) -> float:
        """Of dense FLOPs, after one of the way's steps: a geometric sequence, as `compress`."""
        return float(self.share ** (step / way.steps))


@dataclass(frozen=True)
class Start:
    """A trained network and what it was trained on."""

    network: nn.Module
    architecture: Architecture
    data: Data
    seed: int


def tuned(start: Start, goals: Sequence[Counts], way: Way, budget: Budget) -> nn.Module:
    """The network after all steps of a way."""
    teacher = start.network if way.distilled else None
    network, architecture = start.network, start.architecture
    sizes = flops(architecture, np.stack([architecture.widths, *goals])).astype(float)
    dense, ends = sizes[0], sizes[1:]
    passes = EPOCHS * budget.images * BOTH_WAYS * ends[-1]
    if way.penalised:
        images = int(way.penalised * passes / (BOTH_WAYS * dense))
        _penalised(start, goals[-1], way, images)
        passes *= 1.0 - way.penalised
    for k, (goal, own) in enumerate(zip(goals, ends, strict=True)):
        now = describe(network, architecture.model, architecture.input_shape, architecture.index)
        scores = channel_importance(network, now)
        network = prune(network, now, goal, scores).to(memory_format=torch.channels_last)
        an_image = BOTH_WAYS * own + (dense if way.distilled else 0.0)
        count = round(passes / way.steps / an_image / EPOCHS)
        recipe = replace(way.recipe, seed=10 * start.seed + k)
        train(network, _first(start.data, count), recipe, teacher=teacher, device="cpu")
    return network


def _penalised(start: Start, goal: Counts, way: Way, images: int) -> None:
    """Train the whole network in place while what will go is drawn to zero."""
    scores = channel_importance(start.network, start.architecture)
    going = []
    for group, own, count in zip(start.architecture.groups, scores, goal, strict=True):
        stays = kept_channels(own, int(count), group.multiple)
        gone = torch.from_numpy(np.setdiff1d(np.arange(group.width), stays))
        going += [(name, gone) for name in group.members]
    rows = OutputRows(start.network, start.architecture)
    recipe = replace(way.recipe, epochs=1, warmup_epochs=0.0, recalibration=0, seed=start.seed)
    plain = supervised(recipe)

    def losses(module: nn.Module, batch: Any, step: Step) -> Iterator[Tensor]:
        yield from plain(module, batch, step)
        yield way.penalty * torch.stack([rows.filters(n)[g].square().sum() for n, g in going]).sum()

    shrinking: Losses = losses
    train(start.network, _first(start.data, images), recipe, losses=shrinking, device="cpu")


def _first(data: Data, count: int) -> Data:
    return Data(part(data.train, range(min(count, len(data.train)))), data.validation, data.classes)
