"""Sizes of channels that a module keeps as numbers of its own, such as `self.num_heads = 4`.

A module whose code splits or reshapes channels may have written their sizes down. A number of such
a module that equals a size of what it splits, or a list of those of all parts, is set to the new
size when channels go. Whether that was right is not judged here: the pruned network runs and
computes the same, or the channels stay.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from hdap.networks.layer_kinds.registry import find_kind
from hdap.networks.walk.labels import CONSTANT, Atoms
from hdap.networks.walk.run_records import SizedCall


@dataclass(frozen=True, eq=False)
class WrittenSize:
    """Attribute `name` of `module`, or its item `item`, is the number of channels at `places`."""

    module: str
    name: str
    item: int | None
    places: Atoms


def written_sizes(
    network: nn.Module, calls: Iterable[SizedCall], place_of: Callable[[Atoms], Atoms]
) -> tuple[WrittenSize, ...]:
    """The numbers of modules that are sizes of channels which may go.

    `place_of` gives the place of each atom, -1 where it stays. A number that could be two sizes
    that change differently is left alone.
    """
    sides: dict[str, dict[int, list[Atoms]]] = {}
    cuts: dict[str, list[list[tuple[int, Atoms]]]] = {}
    for call in calls:
        cuts.setdefault(call.module, []).append([(n, place_of(a)) for n, a in call.parts])
        for atoms in call.sides:
            for places in _single(place_of(atoms)):
                sides.setdefault(call.module, {}).setdefault(len(places), []).append(places)
    found = []
    for name, by_size in sides.items():
        module = network.get_submodule(name)
        if find_kind(module) is not None:
            continue
        for attribute, item, value in _numbers(module):
            agreed = _of_cut(cuts[name], getattr(module, attribute), item)
            if agreed is None:
                agreed = _agreed(by_size.get(value, []))
            if agreed is not None:
                found.append(WrittenSize(name, attribute, item, agreed))
    return tuple(found)


def _single(places: Atoms) -> Iterable[Atoms]:
    """Sides of a tensor along which places differ: one where it is arranged along several."""
    if not (places != CONSTANT).any():
        return
    for axis in range(places.ndim):
        row = np.moveaxis(places, axis, 0).reshape(places.shape[axis], -1)
        if (row == row[:, :1]).all():
            yield row[:, 0]


def _numbers(module: nn.Module) -> Iterable[tuple[str, int | None, int]]:
    for name, value in vars(module).items():
        if type(value) is int:
            yield name, None, value
        elif isinstance(value, list | tuple) and all(type(x) is int for x in value):
            for item, number in enumerate(value):
                yield name, item, number


def _of_cut(cuts: list[list[tuple[int, Atoms]]], sizes: Any, item: int | None) -> Atoms | None:
    """The places of the part that an item of a list of sizes is of; None for no such list."""
    for cut in cuts:
        if item is not None and len(cut) > 1 and [n for n, _ in cut] == list(sizes):
            return cut[item][1]
    return None


def _agreed(sides: Sequence[Atoms]) -> Atoms | None:
    """The places of any of `sides` if all shrink alike."""
    if not sides:
        return None
    first = np.sort(sides[0])
    return sides[0] if all(np.array_equal(np.sort(s), first) for s in sides[1:]) else None


def write_sizes(network: nn.Module, sizes: Iterable[WrittenSize], gone: Atoms) -> None:
    """Set the numbers to what is left without the places `gone`, in place."""
    for size in sizes:
        module = network.get_submodule(size.module)
        left = int((~np.isin(size.places, gone)).sum())
        setattr(module, size.name, _with(getattr(module, size.name), size.item, left))


def _with(value: Any, item: int | None, left: int) -> Any:
    if item is None:
        return left
    changed = list(value)
    changed[item] = left
    return type(value)(changed)
