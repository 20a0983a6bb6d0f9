"""What the operations of a network say of its channels: which go together, and which must stay."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hdap.networks.walk.labels import CONSTANT, Atoms, alike

# A rectangle that is mended may break another one; real networks need two rounds.
_ROUNDS = 20


@dataclass(frozen=True)
class Source:
    """A dimension of a parameter or buffer: its atoms are `start .. start + size`."""

    tensor: str
    dim: int
    start: int
    size: int


@dataclass(frozen=True, eq=False)
class Settled:
    """`unit[a]` is the unit of atom a: what goes together. `why` names units that must stay."""

    unit: Atoms
    why: dict[int, str]

    def units(self, atoms: Atoms) -> Atoms:
        """The unit of each atom; constants stay."""
        return _look(self.unit, atoms)


@dataclass(eq=False)
class ChannelTies:
    """Atoms are handed out for the dimensions of tensors, tied by operations, and settled once."""

    sources: list[Source] = field(default_factory=list)
    _count: int = 0
    _ties: list[tuple[Atoms, Atoms]] = field(default_factory=list)
    _pins: list[tuple[Atoms, str]] = field(default_factory=list)
    _rectangles: list[Atoms] = field(default_factory=list)
    _consumed: list[Atoms] = field(default_factory=list)

    def new(self, tensor: str, dim: int, size: int) -> Atoms:
        """Fresh atoms along a dimension of a parameter or buffer."""
        self.sources.append(Source(tensor, dim, self._count, size))
        self._count += size
        return np.arange(self._count - size, self._count, dtype=np.int64)

    def consume(self, atoms: Atoms) -> None:
        """A weight is applied along these atoms: without them it adds nothing of theirs."""
        self._consumed.append(atoms[atoms != CONSTANT])

    def consumed(self) -> frozenset[tuple[str, int]]:
        """The dimensions of tensors along which weights are applied."""
        atoms = np.concatenate([np.empty(0, np.int64), *self._consumed])
        places = np.searchsorted([s.start for s in self.sources], atoms, side="right") - 1
        found = (self.sources[place] for place in np.unique(places).tolist())
        return frozenset((source.tensor, source.dim) for source in found)

    def tie(self, left: Atoms, right: Atoms, why: str) -> None:
        """These go together, one for one; with a constant an atom must stay."""
        left, right = np.broadcast_arrays(left, right)
        left, right = left.ravel(), right.ravel()
        fixed = (left == CONSTANT) | (right == CONSTANT)
        if fixed.any():
            self.pin(np.maximum(left, right)[fixed], why)
        differ = ~fixed & (left != right)
        if differ.any():
            self._ties.append((left[differ], right[differ]))

    def tie_along(self, atoms: Atoms, axis: int) -> Atoms:
        """All along an axis go together; what is left without that axis."""
        first = atoms.take([0], axis=axis)
        self.tie(atoms, first, "shares its place with a constant")
        return first.squeeze(axis)

    def pin(self, atoms: Atoms, why: str) -> None:
        """These must stay."""
        # not np.unique: images of millions of places hold few atoms
        mine = np.zeros(self._count + 1, dtype=np.bool_)
        mine[atoms] = True  # a constant is -1, the last
        self._pins.append((np.flatnonzero(mine[:-1]), why))

    def rectangle(self, atoms: Atoms) -> None:
        """A tensor whose elements go with `atoms` along two or more axes: it must stay one."""
        self._rectangles.append(atoms)

    def settle(self) -> Settled:
        """The units, after every tensor was made to lose whole rows of one of its dimensions."""
        unit = self._components()
        rectangles = [atoms for atoms in self._rectangles if not self._stays(unit, atoms)]
        for _ in range(_ROUNDS):
            if not self._mend_torn(unit, rectangles):
                break
            unit = self._components()
        for atoms in rectangles:
            if len(_varying(_look(unit, atoms))) > 1:
                self.pin(atoms.ravel(), "is arranged along several dimensions at once")
        why: dict[int, str] = {}
        for atoms, reason in self._pins:
            for u in np.unique(unit[atoms]).tolist():
                why.setdefault(u, reason)
        return Settled(unit, why)

    def _stays(self, unit: Atoms, atoms: Atoms) -> bool:
        """Whether all of a rectangle is pinned: it can have millions of places, such as anchors."""
        pinned = np.zeros(self._count + 1, dtype=np.bool_)
        for some, _ in self._pins:
            pinned[unit[some]] = True
        here = np.zeros(self._count + 1, dtype=np.bool_)
        here[atoms] = True
        return bool(pinned[unit[np.flatnonzero(here[:-1])]].all())

    def _components(self) -> Atoms:
        left = np.concatenate([a for a, _ in self._ties] or [np.empty(0, np.int64)])
        right = np.concatenate([b for _, b in self._ties] or [np.empty(0, np.int64)])
        shape = (self._count, self._count)
        graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=shape)
        _, unit = connected_components(graph, directed=False)
        found: Atoms = unit.astype(np.int64)
        return found

    def _mend_torn(self, unit: Atoms, rectangles: Sequence[Atoms]) -> bool:
        """Mend rectangles that are torn and share nothing; whether there was one."""
        busy = np.zeros(self._count, dtype=np.bool_)
        for atoms in rectangles:
            looked = _look(unit, atoms)
            axes = _varying(looked)
            units = np.unique(looked[looked != CONSTANT])
            if len(axes) < 2 or busy[units].any():
                continue
            busy[units] = True
            kept = max(axes, key=lambda axis: (_left(looked, axis), axis))
            self.tie_along(np.moveaxis(atoms, kept, 0).reshape(atoms.shape[kept], -1), 1)
        return bool(busy.any())


def _look(unit: Atoms, atoms: Atoms) -> Atoms:
    found: Atoms = np.where(atoms == CONSTANT, CONSTANT, unit[atoms])
    return found


def _varying(atoms: Atoms) -> list[int]:
    return [axis for axis in range(atoms.ndim) if not alike(atoms, axis)]


def _left(units: NDArray[np.int64], axis: int) -> int:
    """How many units are left when only whole rows along one axis can go; of equals, the later."""
    rows = np.moveaxis(units, axis, 0).reshape(units.shape[axis], -1)
    values, flat = np.unique(rows, return_inverse=True)
    number = np.repeat(np.arange(len(rows)), rows.shape[1])
    size = len(values) + len(rows)
    graph = coo_array(
        (np.ones(number.size, np.int8), (number, flat.ravel() + len(rows))), shape=(size, size)
    )
    return int(connected_components(graph, directed=False)[0])
