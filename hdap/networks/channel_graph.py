"""Which channels of a network go together, in every tensor and every layer."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import KeptChannels, WidthGroup
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.fleet_data.records import Floats
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.walk.labels import CONSTANT
from hdap.networks.walk.written_sizes import WrittenSize


@dataclass(frozen=True, eq=False)
class Touch:
    """A layer that loses channels when channels of a width group go.

    `indices` are the layer's own channels and `roots` the group's channels that they go with, one
    for one. A layer whose inputs are its outputs is touched once, on both sides.
    """

    name: str
    module: nn.Module
    inputs: bool
    outputs: bool
    indices: Indices
    roots: Indices

    def summed(self, values: Floats, width: int) -> Floats:
        """One number a channel of the layer -> one a channel of the group, `width` of them."""
        found = np.zeros(width)
        np.add.at(found, self.roots, values[self.indices])
        return found


@dataclass(frozen=True, eq=False)
class TracedLayer:
    """One use of a layer, or a product that no layer makes.

    `inputs` and `outputs` hold the place of every channel (-1: it stays). A product applies the
    parameter `weight`, if that is one. `use` counts the uses of a layer from 0.
    """

    name: str
    inputs: Indices
    outputs: Indices
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    use: int = 0
    is_product: bool = False
    weight: str = ""
    kernel: int = 1
    groups: int = 1

    @property
    def applies_layer(self) -> bool:
        """Whether `name` is a module that holds the weight."""
        return not self.is_product or self.weight.endswith(".weight")


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """The channels of a network as numbered places: width group g has those from `offsets[g]` on.

    A place is what goes together; a group with `multiple` blocks has one for the same channel of
    every block. `tensors` says for dimensions of parameters and buffers which place each index goes
    with, and `consumed` along which of them a weight is applied to its inputs. `told` holds for
    modules whose code tells sizes to operations the width group of each of their sides ("": none,
    or several), in the order of the run. `counted` are the FLOPs of that run by module name, "" for
    all, as torch's counter has them.
    `network` has the shapes of the network that was traced, and is never run again.
    """

    network: nn.Module
    groups: tuple[WidthGroup, ...]
    kept: tuple[KeptChannels, ...]
    offsets: tuple[int, ...]
    tensors: dict[tuple[str, int], Indices]
    consumed: frozenset[tuple[str, int]]
    layers: tuple[TracedLayer, ...]
    written: tuple[WrittenSize, ...]
    told: dict[str, tuple[tuple[str, ...], ...]]
    counted: dict[str, int]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of a width group by its name."""
        return {group.name: i for i, group in enumerate(self.groups)}

    @cached_property
    def group_of(self) -> Indices:
        """The width group of each place."""
        counts = [g.width // g.multiple for g in self.groups]
        return np.repeat(np.arange(len(counts)), counts)

    def places(self, root: str, channels: Sequence[int] | Indices) -> Indices:
        """The places of channels of a width group.

        Raises `UnsupportedModelError` for one that this network does not have.
        """
        if root not in self.index:
            raise refuse(root, "keeps all of its channels here")
        number = self.index[root]
        group = self.groups[number]
        found: Indices = np.unique(
            self.offsets[number] + np.asarray(channels, np.int64) % (group.width // group.multiple)
        )
        return found

    def near(self, module: str) -> set[str]:
        """Width groups whose sizes code of `module` tells, or that layers in it take or make."""
        found = {name for call in self.told.get(module, ()) for name in call} - {""}
        for layer in self.layers:
            if layer.name == module or layer.name.startswith(f"{module}.") or not module:
                for places in (layer.inputs, layer.outputs):
                    moving = self.group_of[places[places != CONSTANT]]
                    found |= {self.groups[g].name for g in np.unique(moving)}
        return found

    def touches(self, root: str, channels: Sequence[int] | Indices) -> tuple[Touch, ...]:
        """What goes with `channels` of the width group `root`, layer by layer."""
        gone = self.places(root, channels)
        found = []
        for layer in self.layers:
            # a product may apply the weight of a layer that is not called
            module = self.network.get_submodule(layer.name) if layer.applies_layer else None
            if layer.use or module is None:
                continue
            kind = find_kind(module)
            if kind is not None and not kind.has_channels(module):
                continue
            single = kind is not None and kind.same_channels(module)
            sides = [(single, True, layer.outputs)]
            if not single:
                sides.insert(0, (True, False, layer.inputs))
            for inputs, outputs, places in sides:
                indices, roots = self._roots(root, places, gone)
                if len(indices):
                    found.append(Touch(layer.name, module, inputs, outputs, indices, roots))
        return tuple(found)

    def _roots(self, root: str, places: Indices, gone: Indices) -> tuple[Indices, Indices]:
        """Channels at the places `gone` and the root channels they go with, block by block."""
        number = self.index[root]
        group = self.groups[number]
        indices = np.flatnonzero(np.isin(places, gone))
        local = places[indices] - self.offsets[number]
        order = np.argsort(local, kind="stable")
        _, first, times = np.unique(local[order], return_index=True, return_counts=True)
        turn = np.empty_like(local)
        turn[order] = np.arange(len(local)) - np.repeat(first, times)
        # of several equal blocks each root channel has as many of its own, one after the other
        each = np.repeat(times, times) // group.multiple
        block = np.empty_like(local)
        block[order] = turn[order] // each
        return indices, local + block * (group.width // group.multiple)

    def require_plain(self, what: str) -> None:
        """Raises `UnsupportedModelError` unless all that moves is channels of layers used once."""
        own = own_tensors(self.network, [x for x in self.layers if not x.is_product])
        for name, _ in self.tensors:
            if name not in own:
                raise refuse(name, f"is no part of a layer that {what} knows")
        for layer in self.layers:
            if layer.is_product:
                continue
            module = self.network.get_submodule(layer.name)
            if why := kind_of(module).refusal(module):
                raise refuse(layer.name, why)
            if layer.use and ((layer.inputs >= 0).any() or (layer.outputs >= 0).any()):
                raise refuse(layer.name, f"is used more than once, which {what} cannot follow")
        for size in self.written:
            raise refuse(size.module, f"has written down a size, `{size.name}`; {what} sets none")

    def after(self, gone: Indices, network: nn.Module) -> "ChannelGraph":
        """The graph of `network`, which is this one's without the places `gone`."""
        stays = np.ones(len(self.group_of), dtype=np.bool_)
        stays[gone] = False
        number = np.where(stays, np.cumsum(stays) - 1, CONSTANT)

        def left(places: Indices) -> Indices:
            kept = places[(places < 0) | stays[places]]
            result: Indices = np.where(kept < 0, CONSTANT, number[kept])
            return result

        counts = np.bincount(self.group_of[stays], minlength=len(self.groups))
        groups = tuple(
            replace(g, width=int(n) * g.multiple) for g, n in zip(self.groups, counts, strict=True)
        )
        graph = self._renumbered(left)
        return replace(graph, network=network, groups=groups, offsets=_ends(counts), counted={})

    def keeping_all_but(self, names: Collection[str]) -> "ChannelGraph":
        """The graph in which only the width groups `names` can lose channels."""
        free = np.array([g.name in names for g in self.groups], dtype=np.bool_)
        stays = free[self.group_of] if len(self.groups) else np.empty(0, dtype=np.bool_)
        # one more, for what stays already
        number = np.append(np.where(stays, np.cumsum(stays) - 1, CONSTANT), CONSTANT)
        groups = tuple(g for g in self.groups if g.name in names)
        told = {
            module: tuple(tuple(n if n in names else "" for n in call) for call in calls)
            for module, calls in self.told.items()
        }
        counts = np.array([g.width // g.multiple for g in groups], dtype=np.int64)
        graph = self._renumbered(lambda places: number[places])
        return replace(graph, groups=groups, offsets=_ends(counts), told=told)

    def _renumbered(self, change: Callable[[Indices], Indices]) -> "ChannelGraph":
        tensors = {key: change(places) for key, places in self.tensors.items()}
        return replace(
            self,
            tensors={key: places for key, places in tensors.items() if (places != CONSTANT).any()},
            layers=tuple(
                replace(x, inputs=change(x.inputs), outputs=change(x.outputs)) for x in self.layers
            ),
            written=tuple(replace(x, places=change(x.places)) for x in self.written),
        )


def _ends(counts: Indices) -> tuple[int, ...]:
    return tuple(int(x) for x in np.cumsum([0, *counts])[:-1])


class Refusal(UnsupportedModelError):
    """A network that cannot be described exactly because `layer` ... `why`."""

    def __init__(self, layer: str, why: str) -> None:
        super().__init__(
            f"every channel must follow from the width groups alone, but `{layer}` {why}; "
            "use another model or rewrite this layer"
        )
        self.layer, self.why = layer, why


def refuse(layer: str, why: str) -> Refusal:
    """The error for a network that cannot be described exactly because of `layer`."""
    return Refusal(layer, why)


def own_tensors(network: nn.Module, layers: Iterable[TracedLayer]) -> set[str]:
    """Tensors that are parts of layers and products, along whose channels they lie."""
    found = {layer.weight for layer in layers if layer.weight}
    for layer in layers:
        if not layer.is_product:
            kind = kind_of(network.get_submodule(layer.name))
            found |= {f"{layer.name}.{name}" for name in kind.tensors}
    return found
