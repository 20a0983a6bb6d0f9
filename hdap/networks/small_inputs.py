"""The least input that shows what a network does to channels, which do not depend on its size."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hdap.fleet_data.architecture import InputShape, InputShapes
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.forward_pass import Images, of_each, quiet, run, run_once
from hdap.networks.norms_by_channel import norms_by_channel
from hdap.networks.shapes_alone import StepsAtOnce

# How many times smaller each side of an image may be.
_SHRINK = 4


@dataclass(frozen=True)
class SmallInput:
    """Inputs of `shape`, which a network that resizes them first resizes to 1 / `resized` of what
    it says: detectors do, to the same size whatever they are given."""

    shape: InputShapes
    resized: int = 1

    def random(self, size: float) -> Images:
        """Normal numbers of this standard deviation, in float64; the same each time."""
        rng = torch.Generator().manual_seed(0)
        return of_each(
            self.shape, lambda x: torch.randn(1, *x, generator=rng, dtype=torch.float64) * size
        )

    def run(self, network: nn.Module, images: Images) -> Any:
        """As `forward_pass.run`, with norms that act on each channel alone."""
        resized = nullcontext() if self.resized == 1 else _ResizedLess(self.resized)
        with norms_by_channel(network), resized:
            return run(network, images)


def smallest_input(network: nn.Module, shape: InputShapes) -> SmallInput:
    """The smallest that `network`, in eval mode, runs on."""
    less = {n: _small(s) for n, s in shape.items()} if isinstance(shape, dict) else _small(shape)
    resized = _ResizedLess(_SHRINK)
    if _runs(network, less, resized):
        return SmallInput(less, _SHRINK if resized.has else 1)
    return SmallInput(less if resized.has and _runs(network, less) else shape)


def _runs(
    network: nn.Module, shape: InputShapes, how: AbstractContextManager[Any] | None = None
) -> bool:
    with quiet(), StepsAtOnce(), how or nullcontext():
        try:
            run_once(network, shape)
        except UnsupportedModelError:
            return False
    return True


def _small(shape: InputShape) -> InputShape:
    channels, *sides = shape
    return (channels, *(max(side // _SHRINK, 1) for side in sides))


class _ResizedLess(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """In one run inside, images are resized to 1 / `by` of the size that code asks for, as long as
    no layer has seen them; `has` says whether any was."""

    _LAYERS = frozenset({"convolution", "mm", "addmm", "bmm", "baddbmm"})

    def __init__(self, by: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._by = by
        self.has = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in self._LAYERS:
            self._by = 1
        if self._by > 1 and name.lstrip("_").startswith("upsample_"):
            self.has = True
            image, sizes, *rest = args
            scales = [None if isinstance(x, float) else x for x in rest]
            return func(image, [max(s // self._by, 1) for s in sizes], *scales, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
