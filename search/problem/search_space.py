"""Which channel counts a search may use: a grid of widths for every group."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts, WidthGroup
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.records import Floats, Ints

NARROWEST_SHARE = 1 / 8
"""Unless told, no group is cut below 1/8 of its width. The measured configurations that surrogates
learn from hardly go below it, and a narrower place in a network is rarely recovered by training."""


@dataclass(frozen=True)
class SearchSpace:
    """Allowed counts of every width group, ascending; a fixed group has one.

    `step` is the alignment grid that they were built for, `fixed` maps a group's index to the
    count that a person fixed.
    """

    architecture: Architecture
    levels: tuple[Counts, ...]
    step: int = 1
    fixed: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        architecture: Architecture,
        step: int = 1,
        min_width: int | None = None,
        fixed: Mapping[str, int] | None = None,
        min_share: float = NARROWEST_SHARE,
    ) -> "SearchSpace":
        """Multiples of `step` (and of what the group itself demands), and the full width.

        `min_width` bounds every count from below (a group narrower than that keeps its width);
        without it a group keeps at least `min_share` of its channels. `fixed` maps names of
        groups, or of any layer in them, to counts, which need not be on the grid.

        Raises:
            InputError: `step`, `min_width` or a fixed count is out of range.
            NotFoundError: a fixed group is not in the architecture.
        """
        for name, value in (("step", step), ("min_width", min_width)):
            if value is not None and value < 1:
                raise InputError(f"`{name} >= 1` must hold, but got {value}: give 1 or more")
        chosen = _fixed(architecture, fixed or {})
        levels = tuple(
            np.array([chosen[i]]) if i in chosen else _levels(group, step, min_width, min_share)
            for i, group in enumerate(architecture.groups)
        )
        return cls(architecture, levels, step, chosen)

    def on_grid(self, step: int) -> "SearchSpace":
        """The same space on another grid, from the narrowest that the grid allows upwards.

        Step 1 allows every count that the network itself does. Fixed groups stay.
        """
        levels = tuple(
            own if i in self.fixed else _grid(group, step, 1, int(own[-1]))
            for i, (group, own) in enumerate(
                zip(self.architecture.groups, self.levels, strict=True)
            )
        )
        return SearchSpace(self.architecture, levels, step, self.fixed)

    def within(self, limits: Mapping[str, Sequence[int]]) -> "SearchSpace":
        """The part of the space between a least and a most count of each group that is named.

        The most is itself allowed, on the grid or not, and so is the next level below it, whatever
        the least says: a group can always move. Fixed groups stay.

        Raises:
            InputError: `1 <= least <= most <= width` does not hold.
            NotFoundError: a group is not in the architecture.
        """
        levels = list(self.levels)
        for name, (least, most) in limits.items():
            index = _index(self.architecture, name)
            group = self.architecture.groups[index]
            if not 1 <= least <= most <= group.width or most % group.multiple:
                raise InputError(
                    f"`1 <= least <= most <= {group.width}` must hold for the limits of {name}, in "
                    f"multiples of {group.multiple}, but got {least} and {most}"
                )
            if index not in self.fixed:
                below = levels[index][levels[index] < most]
                kept = below[(below >= least) | (below == below.max(initial=0))]
                levels[index] = np.append(kept, most)
        return SearchSpace(self.architecture, tuple(levels), self.step, self.fixed)

    def between(self, low: Counts, high: Counts) -> "SearchSpace":
        """The part of the space from `low` to `high` (`groups` each); where that holds no level of
        a group, its `high` alone."""
        levels = tuple(
            own if len(own := levels[(levels >= a) & (levels <= b)]) else np.array([b])
            for levels, a, b in zip(self.levels, low, high, strict=True)
        )
        return SearchSpace(self.architecture, levels, self.step, self.fixed)

    @cached_property
    def sizes(self) -> Ints:
        """Number of levels, `groups`."""
        return np.array([len(x) for x in self.levels], dtype=np.int64)

    @cached_property
    def free(self) -> Ints:
        """Indices of the groups that can move."""
        return np.flatnonzero(self.sizes > 1)

    @cached_property
    def smallest(self) -> Counts:
        """The narrowest configuration, `groups`."""
        return np.array([x[0] for x in self.levels], dtype=np.int64)

    @cached_property
    def widest(self) -> Counts:
        """The widest configuration, `groups`."""
        return np.array([x[-1] for x in self.levels], dtype=np.int64)

    @property
    def log10_size(self) -> float:
        """Decimal logarithm of the number of configurations."""
        return float(np.log10(self.sizes).sum())

    @cached_property
    def table(self) -> Counts:
        """Levels as `groups x largest size`; rows are filled up with their last level."""
        columns = np.minimum(np.arange(self.sizes.max()), self.sizes[:, None] - 1)
        return np.stack([x[c] for x, c in zip(self.levels, columns, strict=True)])

    @cached_property
    def _groups(self) -> Ints:
        return np.arange(len(self.levels))

    def counts(self, index: Ints) -> Counts:
        """Counts at grid positions: `n x groups` of 0..size-1 -> `n x groups`."""
        found: Counts = self.table[self._groups, index]
        return found

    def index(self, counts: Counts) -> Ints:
        """Grid positions of counts: the inverse of `counts`.

        Raises:
            InputError: a count is not on the grid.
        """
        found = self.at_most(counts)
        wrong = np.argwhere(self.counts(found) != counts)
        if len(wrong):
            row, group = wrong[0]
            raise InputError(
                f"counts must be on the grid, but {self.architecture.groups[group].name}="
                f"{counts[row, group]} is not: use `snap` first"
            )
        return found

    def snap(self, values: Floats) -> Counts:
        """The nearest allowed counts: any `n x groups` numbers -> `n x groups`."""
        return self.counts(self._lookup(self._nearest, np.rint(values)))

    def at_most(self, values: Floats | Counts) -> Ints:
        """Position of the largest level that is not above each value (0 where none is)."""
        return self._lookup(self._below, np.floor(values))

    def at_least(self, values: Floats | Counts) -> Ints:
        """Position of the smallest level that is not below each value (the last where none is)."""
        below = self.at_most(values)
        return np.minimum(below + (self.counts(below) < values), self.sizes - 1)

    def random(self, n: int, rng: np.random.Generator) -> Counts:
        """`n x groups` counts, every level of a group equally likely."""
        return self.counts(rng.integers(0, self.sizes, size=(n, len(self.levels))))

    def _lookup(self, table: Ints, values: Floats) -> Ints:
        whole = np.clip(values, 0, self.architecture.widths).astype(np.int64)
        found: Ints = table[self._groups, whole]
        return found

    @cached_property
    def _below(self) -> Ints:
        every = np.arange(self.architecture.widths.max() + 1)
        rows = [np.searchsorted(x, every, side="right") - 1 for x in self.levels]
        return np.maximum(np.stack(rows), 0)

    @cached_property
    def _nearest(self) -> Ints:
        every = np.arange(self.architecture.widths.max() + 1)
        rows = [np.searchsorted((x[1:] + x[:-1]) / 2.0, every) for x in self.levels]
        return np.stack(rows)


def _levels(group: WidthGroup, step: int, min_width: int | None, min_share: float) -> Counts:
    least = math.ceil(group.width * min_share) if min_width is None else min_width
    return _grid(group, step, least, group.width)


def _grid(group: WidthGroup, step: int, least: int, most: int) -> Counts:
    """Multiples of `step` and of what the group demands, from `least` on, and `most` itself."""
    grid = math.lcm(step, group.multiple)
    first = math.ceil(max(least, grid) / grid) * grid
    return np.append(np.arange(first, most, grid, dtype=np.int64), most)


def _fixed(architecture: Architecture, fixed: Mapping[str, int]) -> dict[int, int]:
    chosen = {}
    for name, count in fixed.items():
        index = _index(architecture, name)
        group = architecture.groups[index]
        if not 1 <= count <= group.width or count % group.multiple:
            raise InputError(
                f"a fixed count must be a multiple of {group.multiple} in 1..{group.width}, but "
                f"got {name}={count}: give one that is"
            )
        chosen[index] = count
    return chosen


def _index(architecture: Architecture, name: str) -> int:
    if name not in architecture.index:
        near = difflib.get_close_matches(name, architecture.index, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see `hdap model`"
        raise NotFoundError(f"no width group {name!r} in {architecture.model}: {hint}")
    return architecture.index[name]
