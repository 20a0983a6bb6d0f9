"""Who writes and who reads the channels of a width group, and which of them nobody needs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import WidthGroup
from hdap.networks.channel_graph import ChannelGraph, Touch
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.known_inputs import KnownInputs
from hdap.networks.layer_kinds.registry import kind_of

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Merge:
    """In `layer` the weights of input `source`, times `ratio`, join those of input `target`."""

    layer: str
    target: int
    source: int
    ratio: float


class Reader:
    """A convolution or linear layer: which of its outputs are alive and which inputs they use."""

    def __init__(self, name: str, given: KnownInputs, absorbs: bool) -> None:
        self.name, self.absorbs = name, absorbs
        self.used, self.uneven = given.used.cpu().numpy(), given.uneven.cpu().numpy()
        self.values: Floats = given.values.cpu().numpy()
        self.fixed: Bools = given.fixed.cpu().numpy()
        self.blocks = len(self.values) // self.used.shape[1]
        self.rows = np.ones(len(self.used), dtype=np.bool_)
        self.gone = np.zeros(len(self.values), dtype=np.bool_)

    def lose(self, rows: Indices) -> None:
        """These outputs go."""
        self.rows[rows] = False
        self.forget()

    def forget(self) -> None:
        """What follows from outputs and weights is to be worked out anew."""
        for name in ("needed", "uneven_needed"):
            self.__dict__.pop(name, None)

    @cached_property
    def needed(self) -> Bools:
        """Inputs that an output which is alive looks at."""
        return self._any(self.used)

    @cached_property
    def uneven_needed(self) -> Bools:
        return self._any(self.uneven) if self.uneven.any() else np.zeros_like(self.gone)

    def _any(self, weights: Bools) -> Bools:
        alive = weights if self.rows.all() else weights & self.rows[:, None]
        found: Bools = alive.reshape(self.blocks, -1, weights.shape[1]).any(axis=1).ravel()
        return found

    def free(self, inputs: Indices) -> Bools:
        """Which of `inputs` can go by themselves."""
        values, needed = self.values[inputs], self.needed[inputs]
        constant = np.isfinite(values) & self.absorbs & ~self.uneven_needed[inputs]
        found: Bools = ~needed | (values == 0.0) | constant
        return found


@dataclass(frozen=True, eq=False)
class Use:
    """How a reader sees a width group: `inputs` is width x times that it takes each channel."""

    reader: Reader
    inputs: Indices


class ChannelUses:
    """The channels of one width group: who writes and who reads them, and which are gone."""

    def __init__(self, group: WidthGroup, graph: ChannelGraph, readers: dict[str, Reader]) -> None:
        self._group = group
        self.gone = np.zeros(group.width, dtype=np.bool_)
        self._uses: list[Use] = []
        self._writers: list[tuple[Reader, Indices]] = []
        self._unseen = ""
        for touch in graph.touches(group.name, range(group.width)):
            kind = kind_of(touch.module)
            if kind.mixes(touch.module):
                self._unseen = f"`{touch.name}` mixes channels"
            elif kind.has_matrix:
                self._connect(touch, readers)

    def _connect(self, touch: Touch, readers: dict[str, Reader]) -> None:
        if touch.name not in readers:  # weights made on the fly
            self._unseen = f"`{touch.name}` computes its weights"
            return
        table = touch.indices[np.argsort(touch.roots, kind="stable")]
        inputs = table.reshape(self._group.width, -1)
        if touch.outputs:
            self._writers.append((readers[touch.name], inputs))
        elif not kind_of(touch.module).same_channels(touch.module):
            self._uses.append(Use(readers[touch.name], inputs))

    def free(self) -> Bools:
        """Channels that can go by themselves, those that are gone included."""
        if self._unseen:
            return np.zeros_like(self.gone)
        free = np.ones_like(self.gone)
        for use in self._uses:
            free &= use.reader.free(use.inputs).all(axis=1)
        blocks = free.reshape(self._group.multiple, -1)
        everywhere: Bools = np.tile(blocks.all(axis=0), self._group.multiple)
        return everywhere

    def take(self, channels: Bools) -> bool:
        """Let them go; whether any was there."""
        fresh = channels & ~self.gone
        if not fresh.any():
            return False
        self.gone |= fresh
        for use in self._uses:
            use.reader.gone[use.inputs[fresh].ravel()] = True
        for writer, rows in self._writers:
            writer.lose(rows[fresh].ravel())
        return True

    def merge(self) -> list[Merge]:
        """Make one channel of all that are constant wherever they are read, where that is exact."""
        candidates = np.flatnonzero(self._constant() & ~self.gone)
        if len(candidates) < 2 or self._unseen or self._group.multiple > 1:
            return []
        target = int(candidates[np.argmax(self._least(candidates))])
        found: list[Merge] = []
        for source in candidates[candidates != target]:
            merges = self._into(target, int(source))
            if merges is not None:
                found += merges
                self.take(np.arange(self._group.width) == source)
        return found

    def _constant(self) -> Bools:
        constant = np.ones_like(self.gone)
        for use in self._uses:
            inputs = use.inputs
            known = np.isfinite(use.reader.values[inputs]) | ~use.reader.needed[inputs]
            constant &= known.all(axis=1)
        return constant

    def _least(self, channels: Indices) -> Floats:
        """The size of the smallest number that each channel gives a reader that cannot fold it."""
        least = np.full(len(channels), np.inf)
        for use in self._uses:
            if use.reader.blocks == 1:
                given = np.abs(use.reader.values[use.inputs[channels]])
                given[~np.isfinite(given)] = 0.0
                least = np.minimum(least, given.min(axis=1))
        return least

    def _into(self, target: int, source: int) -> list[Merge] | None:
        merges = []
        for use in self._uses:
            reader = use.reader
            for into, out_of in zip(use.inputs[target], use.inputs[source], strict=True):
                if reader.free(np.array([out_of]))[0]:
                    continue
                given = reader.values[into]
                if reader.blocks > 1 or not np.isfinite(given) or given == 0.0:
                    return None
                ratio = float(reader.values[out_of] / given)
                merges.append(Merge(reader.name, int(into), int(out_of), ratio))
        for merge in merges:
            self._carry(merge)
        return merges

    def _carry(self, merge: Merge) -> None:
        reader = next(u.reader for u in self._uses if u.reader.name == merge.layer)
        for weights in (reader.used, reader.uneven):
            weights[:, merge.target] |= weights[:, merge.source]
        reader.forget()

    def kept(self, step: int) -> Indices:
        """Channels that stay: those that are needed, and the first others up to the grid."""
        width, blocks = self._group.width, self._group.multiple
        stay = ~self.gone.reshape(blocks, -1)
        grid = math.lcm(step, blocks)
        count = math.ceil(max(int(stay.sum()), 1) / grid) * grid
        missing = min(count, width) // blocks - int(stay[0].sum())
        stay[:, np.flatnonzero(~stay[0])[:missing]] = True
        return np.flatnonzero(stay)

    def unread(self, kept: Indices) -> Iterator[tuple[str, Indices]]:
        """Where channels are read that stay only for their places."""
        idle = kept[self.gone[kept]]
        for use in self._uses if len(idle) else ():
            yield use.reader.name, use.inputs[idle].ravel()

    def remaining(self) -> list[str]:
        """Constant channels that stay, in words."""
        fixed = ~self.gone
        for use in self._uses:
            fixed &= use.reader.fixed[use.inputs].all(axis=1)
        if not fixed.any():
            return []
        return [f"`{self._group.name}` keeps {int(fixed.sum())} constant: {self._why(fixed)}"]

    def _why(self, channels: Bools) -> str:
        if self._unseen:
            return self._unseen
        for use in self._uses:
            reader, inputs = use.reader, use.inputs[channels].ravel()
            if reader.free(inputs).all():
                continue
            if not np.isfinite(reader.values[inputs]).all():
                return f"`{reader.name}` gets images of them that are not even"
            if reader.uneven_needed[inputs].any():
                return f"`{reader.name}` pads them with zeros"
            return f"`{reader.name}` has no bias to take them"
        return "they share their places in a grouped convolution with others"
