"""From what goes together to width groups: channels that one count can stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import KeptChannels
from hdap.networks.walk.channel_ties import Settled
from hdap.networks.walk.labels import CONSTANT, Atoms
from hdap.networks.walk.recorder import Walk

_ONE = "loses all of its channels or none"
_PARTLY = "has outputs of which only a part goes this way"


@dataclass(frozen=True, eq=False)
class ChannelMaker:
    """A layer that makes channels: the unit of each of its outputs."""

    name: str
    units: Atoms
    passes_on: bool


@dataclass(frozen=True, eq=False)
class UnitGroup:
    """Units that are counted together: `units[p]` is place p of each of `multiple` blocks.

    `members` are the layers whose outputs they are, block by block, and `root` the first of them.
    """

    root: str
    members: tuple[str, ...]
    units: Atoms
    multiple: int

    @property
    def width(self) -> int:
        return len(self.units) * self.multiple


@dataclass(frozen=True, eq=False)
class WidthGrouping:
    """Width groups in module order, and what was not made one."""

    groups: tuple[UnitGroup, ...]
    kept: tuple[KeptChannels, ...]


def group_units(
    settled: Settled, candidates: Sequence[ChannelMaker], counted: list[Atoms], others: list[Atoms]
) -> WidthGrouping:
    """Units that occur equally often on every side are counted together.

    `candidates` stand in module order. Sides hold the unit of each place, or `CONSTANT`: `counted`
    those of layers and of tensors whose sizes are numbers of channels, `others` those of weights,
    of which a grouped convolution has one block.
    """
    size = int(settled.unit.max(initial=-1)) + 1
    signature, common = _signatures(size, counted, others)
    groups: list[UnitGroup] = []
    kept: list[KeptChannels] = []
    done: set[int] = set()
    for candidate in sorted(candidates, key=lambda c: c.passes_on):
        moving = signature[candidate.units[candidate.units != CONSTANT]]
        for key in _in_order(moving):
            if key in done:
                continue
            done.add(key)
            units = np.flatnonzero(signature == key)
            why = next((settled.why[u] for u in units.tolist() if u in settled.why), "")
            found = why or _found(np.append(signature == key, False), int(common[key]), candidates)
            if isinstance(found, UnitGroup) and len(found.units) > 1:
                groups.append(found)
                continue
            mine = int((moving == key).sum())
            if mine > 1:
                why = _ONE if isinstance(found, UnitGroup) else found
                kept.append(KeptChannels(candidate.name, mine, why))
    place = {c.name: i for i, c in enumerate(candidates)}
    return WidthGrouping(
        tuple(sorted(groups, key=lambda g: place[g.root])),
        tuple(sorted(kept, key=lambda k: place[k.layer])),
    )


def _signatures(count: int, counted: list[Atoms], others: list[Atoms]) -> tuple[Atoms, Atoms]:
    """For each unit a number that tells where it occurs how often, and for each number the greatest
    common divisor of how often on `counted` sides.
    """
    rng = np.random.default_rng(0)
    key = np.zeros(count, dtype=np.uint64)
    divisor = np.zeros(count, dtype=np.int64)
    for place, side in enumerate([*counted, *others]):
        times = np.bincount(side[side != CONSTANT], minlength=count)
        if times.any():
            key += times.astype(np.uint64) * rng.integers(1, 2**63, dtype=np.uint64)
            if place < len(counted):
                divisor = np.gcd(divisor, times)
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    return number.astype(np.int64), divisor[first]


def _in_order(values: Atoms) -> list[int]:
    _, first = np.unique(values, return_index=True)
    return [int(values[i]) for i in np.sort(first)]


def _found(
    together: NDArray[np.bool_], multiple: int, candidates: Sequence[ChannelMaker]
) -> UnitGroup | str:
    """The width group of the units that go together, or why it is none; of a constant, which is
    -1, the last of `together` says that it does not."""
    units = np.flatnonzero(together)
    whole = [c for c in candidates if len(c.units) and together[c.units].all()]
    if not whole:
        return _PARTLY
    even = [c for c in whole if _blocks(c.units, len(units))]
    pool = [c for c in even if len(c.units) == len(units) * multiple] or even
    if not pool:  # such as the heads of attention: each is counted as one
        first = min(whole, key=lambda c: c.passes_on)
        _, order = np.unique(first.units, return_index=True)
        root = first.units[np.sort(order)]
        return UnitGroup(whole[0].name, tuple(c.name for c in whole), root, 1)
    root = min(pool, key=lambda c: c.passes_on).units[: len(units)]
    members = tuple(c.name for c in pool if np.array_equal(c.units[: len(units)], root))
    return UnitGroup(members[0], members, root, multiple)


def _blocks(units: Atoms, count: int) -> bool:
    return len(units) % count == 0 and bool((units.reshape(-1, count) == units[:count]).all())


def units_of_sources(walk: Walk, settled: Settled) -> dict[tuple[str, int], Atoms]:
    """The unit of each place along every dimension of every tensor that the run used."""
    found: dict[tuple[str, int], Atoms] = {}
    for source in walk.ties.sources:
        found[source.tensor, source.dim] = settled.unit[source.start : source.start + source.size]
    return found
