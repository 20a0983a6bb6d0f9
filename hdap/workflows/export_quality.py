"""What int8 is calibrated on, and what it costs: accuracy of the network and of its file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdap.networks.export_formats.registry import FORMATS
from hdap.training.datasets import Data, DataOptions, Samples, part, plain
from hdap.training.load_data import load_data
from hdap.training.network_quality import evaluate

CALIBRATION_IMAGES = 128
"""Ranges hardly move beyond a hundred images; NNCF's own default is 300, LiteRT advises 100."""


@dataclass(frozen=True)
class AccuracyCost:
    """Accuracy (a share) of torch and of the file on the same `images` validation images."""

    before: float
    after: float
    images: int


def read_calibration_data(
    text: str, model: str, shape: tuple[int, ...]
) -> tuple[Data, tuple[Tensor, ...]]:
    """The data that `--data` names, and inputs spread evenly over what it has to learn from.

    Raises `InputError` as `load_data` does.
    """
    data = load_data(text, DataOptions.of_model(model, shape, seed=0))
    samples = plain(data.train)
    count = min(CALIBRATION_IMAGES, len(samples))
    places = [i * len(samples) // count for i in range(count)]
    return data, tuple(torch.as_tensor(samples[i][0]).float()[None] for i in places)


def judged_part(data: Data, most: int) -> Samples:
    """The validation part, or `most` samples of it spread evenly where it has more."""
    count = min(most, len(data.validation))
    return part(data.validation, [i * len(data.validation) // count for i in range(count)])


def accuracy_cost(before: float, kind: str, file: Path, judged: Samples) -> AccuracyCost:
    """The file beside the accuracy of its network on the same samples.

    Raises `InputError` where file and data do not fit.
    """
    after = accuracy(_FileNetwork(FORMATS[kind].open(file)), judged)
    return AccuracyCost(before, after, len(judged))


def accuracy(network: nn.Module, judged: Samples) -> float:
    """Of a network. Raises `InputError` where network and data do not fit."""
    return evaluate(network, judged, batch_size=32).accuracy


class _FileNetwork(nn.Module):
    """What a file computes, one input at a time, as a network that can be judged."""

    def __init__(self, runner: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(1), requires_grad=False)  # says that it is on the CPU
        self._runner = runner

    def forward(self, images: Tensor) -> Any:
        return torch.cat([self._runner(image[None].contiguous()) for image in images])
