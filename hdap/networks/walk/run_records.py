"""What is noted of one run of a network: operations, layers, products, and sizes that were told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hdap.networks.layer_kinds.base import LayerKind
from hdap.networks.walk.labels import Atoms


@dataclass(frozen=True, eq=False)
class Operation:
    """A call of an operation of `aten`, or of a library's own; `name` is without overload."""

    name: str
    given: Mapping[str, Any]
    outputs: tuple[Tensor, ...]

    @property
    def inputs(self) -> list[Tensor]:
        """All tensors given, in order."""
        return [x for x in tree_leaves(list(self.given.values())) if isinstance(x, Tensor)]

    def __getitem__(self, name: str) -> Any:
        return self.given.get(name)


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A layer of a known kind that ran: atoms of its input and output channels, and the sizes."""

    name: str
    inputs: Atoms
    outputs: Atoms
    input_size: tuple[int, int]
    output_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Product:
    """A product of matrices that no layer makes, of `inputs` x `outputs` channels at `positions`.

    `weight` is the parameter that it applies, if it is one.
    """

    module: str
    inputs: Atoms
    outputs: Atoms
    positions: int
    kernel: int
    weight: str
    groups: int = 1


@dataclass(frozen=True, eq=False)
class SizedCall:
    """An operation that was told the sizes of channels in numbers, by code of `module`.

    `sides` are the atoms of what it took and made; `parts` those of the parts that it cut, all of
    them, in order, each with its size.
    """

    module: str
    sides: tuple[Atoms, ...]
    parts: tuple[tuple[int, Atoms], ...] = ()


def size_of(kind: LayerKind, module: nn.Module, images: Tensor) -> tuple[int, int]:
    """Height and width of all images together, such as the windows that attention cuts."""
    if not images.numel():
        return 0, 0
    height, width = kind.size(module, images)
    places = images.numel() // images.shape[kind.channel_dim(module, images)]
    return height * max(places // (height * width), 1), width
