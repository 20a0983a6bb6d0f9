"""Small networks and data that is learned in a moment."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from hdap.training.datasets import Data

CLASSES = 3


def _samples(count: int, seed: int) -> TensorDataset:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=rng)
    images = 0.5 * torch.randn(count, 1, 6, 6, generator=rng)
    images[torch.arange(count), 0, labels] += 1.0  # the class is the brightest row
    return TensorDataset(images, labels)


@pytest.fixture
def data() -> Data:
    return Data(_samples(96, 0), _samples(60, 1), CLASSES)


@pytest.fixture
def make() -> Callable[..., nn.Module]:
    """A network from a seed; with dropout and batch norm unless told."""

    def build(seed: int = 0, *, plain: bool = False) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            between = [] if plain else [nn.BatchNorm2d(8), nn.Dropout(0.2)]
            layers = [nn.Conv2d(1, 8, 3), *between, nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)]
            return nn.Sequential(*layers)

    return build
