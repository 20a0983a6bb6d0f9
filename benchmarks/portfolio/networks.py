"""The networks of `benchmarks.portfolio.build`, what each learns, and how long."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from benchmarks.quality.frontier_plan import DENSE_RECIPE, TUNING_RECIPE
from hdap.examples.digits import split_digits
from hdap.examples.fashion import fashion_plain
from hdap.examples.networks import small_resnet, small_vgg
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data

SIDE = 16


@dataclass(frozen=True)
class Task:
    """`recipe` trains the dense network and each sparse level, `tuning` a variant. `equal` to dense
    a slim variant has to be, not to the sparse level, where sparse levels are as good as dense."""

    model: str
    shape: tuple[int, int, int]
    read: Callable[[], Data]
    levels: int
    recipe: Recipe
    tuning: Recipe
    equal: bool = True


def vgg() -> nn.Module:
    """Eight plain convolutions for 1 x 16 x 16."""
    return _for_side(small_vgg())


def resnet() -> nn.Module:
    """Three stages of two residual blocks for 1 x 16 x 16."""
    return _for_side(small_resnet())


def _for_side(network: nn.Module) -> nn.Module:
    network.input_shape = (1, SIDE, SIDE)  # type: ignore[assignment]
    return network


def _digits() -> Data:
    return Data(*split_digits(side=SIDE), 10)


def _photographs() -> Data:
    return Data(*fashion_plain(), 10)


_DIGITS = Task(
    "benchmarks.portfolio.networks:vgg",
    (1, SIDE, SIDE),
    _digits,
    8,
    Recipe(epochs=5, batch_size=32, lr=0.05),
    Recipe(epochs=4, batch_size=32, lr=0.02, warmup_epochs=0.3),
    equal=False,
)
TASKS = {
    "vgg": _DIGITS,
    "resnet": replace(_DIGITS, model="benchmarks.portfolio.networks:resnet", levels=5, equal=True),
    "fashion": Task(
        "hdap.examples.networks:fashion_resnet",
        (1, 28, 28),
        _photographs,
        5,
        replace(DENSE_RECIPE, epochs=3),
        replace(TUNING_RECIPE, epochs=2),
    ),
}
