"""A small network with a gap in the middle, and what holds for any that is pruned and kept."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hdap.networks.checkpoint import load_checkpoint, save_checkpoint
from hdap.networks.criteria import Evidence
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import prune_planned
from hdap.networks.tracing import trace


class Toy(nn.Module):
    """Two convolutions and a head; sub-classes say what happens between them."""

    input_shape = (3, 16, 16)

    def __init__(self, given: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(given, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return x

    def forward(self, image: Tensor) -> Tensor:
        x = self.second(self.between(self.first(image), image))
        result: Tensor = self.head(x.mean((2, 3)))
        return result


def assert_comes_back(model: str, folder: Path) -> None:
    """Half of the channels of `module:factory`, saved and loaded, give the same numbers."""
    architecture = trace(model)
    counts = architecture.widths // architecture.multiples // 2 * architecture.multiples
    plan = PrunePlan(architecture, np.maximum(counts, architecture.multiples))
    pruned = prune_planned(plan, WeightsSource(seed=3), "random", Evidence(seed=3))
    save_checkpoint(folder / "pruned", pruned.module, pruned.manifest)
    back = load_checkpoint(folder / "pruned", model=model).module
    images = torch.randn(2, *architecture.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(back(images), pruned.module(images), rtol=0, atol=0)
