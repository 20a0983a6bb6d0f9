"""Which elements of a tensor go with which channel: arrays of atoms along its dimensions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Atoms = NDArray[np.int64]
"""Numbers of atoms, the smallest things that can be taken away; `CONSTANT` is none and stays."""

CONSTANT = -1


@dataclass(frozen=True, eq=False)
class Factor:
    """The elements of a tensor go with `atoms`, whose axes are the dimensions `dims`, ascending.

    Along every other dimension all elements go alike. A tensor may have several factors over
    different dimensions, as a weight has one of its outputs and one of its inputs; an element is
    taken away with any of them.
    """

    dims: tuple[int, ...]
    atoms: Atoms

    def shifted(self, by: int) -> "Factor":
        """The same for a tensor with `by` more dimensions in front."""
        return Factor(tuple(d + by for d in self.dims), self.atoms)

    def over(self, dims: Sequence[int], sizes: Sequence[int]) -> Atoms:
        """`atoms` over more dimensions, of the given sizes."""
        shape = [size if d in self.dims else 1 for d, size in zip(dims, sizes, strict=True)]
        return np.broadcast_to(self.atoms.reshape(shape), tuple(sizes))


Labels = tuple[Factor, ...]


def alike(atoms: Atoms, axis: int) -> bool:
    """Whether nothing differs along an axis."""
    return np.array_equal(atoms, np.broadcast_to(atoms.take([0], axis=axis), atoms.shape))


def compressed(dims: Sequence[int], atoms: Atoms) -> Labels:
    """A factor without the dimensions along which nothing differs; none for nothing but constants.

    Such a dimension keeps its size whatever goes.
    """
    if not atoms.size:  # no boxes
        return ()
    kept = []
    for axis, dim in reversed(list(enumerate(dims))):
        if alike(atoms, axis):
            atoms = atoms.take([0], axis=axis).squeeze(axis)
        else:
            kept.append(dim)
    if not kept:
        return ()
    return (Factor(tuple(reversed(kept)), atoms),)


def mapped(labels: Labels, places: dict[int, int]) -> Labels:
    """The labels of a tensor whose dimension d has become `places[d]`; all must be in it."""
    found = []
    for factor in labels:
        target = [places[d] for d in factor.dims]
        order = np.argsort(target)
        found.append(Factor(tuple(sorted(target)), factor.atoms.transpose(order)))
    return tuple(found)


def overlapping(labels: Iterable[Factor]) -> list[tuple[int, ...]]:
    """The sets of dimensions that factors tie together, disjoint and ascending."""
    sets: list[set[int]] = []
    for factor in labels:
        joined = set(factor.dims)
        apart = []
        for other in sets:
            if joined & other:
                joined |= other
            else:
                apart.append(other)
        sets = [*apart, joined]
    return sorted(tuple(sorted(s)) for s in sets)


@dataclass(frozen=True)
class ReshapeBlock:
    """Consecutive dimensions that a reshape turns into consecutive others of as many elements."""

    old: tuple[int, ...]
    new: tuple[int, ...]


def reshape_blocks(old: Sequence[int], new: Sequence[int]) -> list[ReshapeBlock]:
    """The smallest blocks of a reshape from the sizes `old` to `new`, in order."""
    blocks = []
    i = j = 0
    while i < len(old) and j < len(new):
        left, right = i, j
        a, b = old[i], new[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, j = b * new[j], j + 1
        blocks.append(ReshapeBlock(tuple(range(left, i)), tuple(range(right, j))))
    if i < len(old) or j < len(new):  # dimensions of size 1
        blocks.append(ReshapeBlock(tuple(range(i, len(old))), tuple(range(j, len(new)))))
    return blocks


def reshaped(labels: Labels, old: Sequence[int], new: Sequence[int]) -> tuple[Labels, Labels]:
    """Labels after a reshape, and those that it tears apart: several factors in one block."""
    found: list[Factor] = []
    torn: list[Factor] = []
    for block, factors in _with_factors(reshape_blocks(old, new), labels):
        if len(factors) > 1:
            torn += factors
        elif factors:
            found += _through(factors[0], block, old, new)
    return tuple(found), tuple(torn)


def _with_factors(
    blocks: list[ReshapeBlock], labels: Labels
) -> list[tuple[ReshapeBlock, list[Factor]]]:
    """Blocks with the factors in them; blocks that a factor reaches across become one."""
    for factor in labels:
        touched = [k for k, b in enumerate(blocks) if set(b.old) & set(factor.dims)]
        if len(touched) > 1:
            first, last = touched[0], touched[-1]
            merged = ReshapeBlock(
                tuple(d for b in blocks[first : last + 1] for d in b.old),
                tuple(d for b in blocks[first : last + 1] for d in b.new),
            )
            blocks = [*blocks[:first], merged, *blocks[last + 1 :]]
    return [(b, [f for f in labels if set(f.dims) & set(b.old)]) for b in blocks]


def _through(factor: Factor, block: ReshapeBlock, old: Sequence[int], new: Sequence[int]) -> Labels:
    before, after = [old[d] for d in block.old], [new[d] for d in block.new]
    if before == after:
        places = dict(zip(block.old, block.new, strict=True))
        return mapped((factor,), places)
    if math.prod(before) != math.prod(after):
        raise ValueError(f"sizes {tuple(old)} cannot become {tuple(new)}")
    return compressed(block.new, factor.over(block.old, before).reshape(after))
