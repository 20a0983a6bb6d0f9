"""Which rows look as if they were in another unit than they were read in.

A device's rows of one model fall apart into *modes*, each in one unit, at gaps that no change of
clock or configuration makes. A mode is compared with the fleet's devices: with those stored before
where there are some, else with all, by their median. Where the median itself is none that the
architecture can have on any device, the modes that can are the fleet, or the whole is shifted to
where it can be. Real devices of one label lie within a factor of ten or so of each
other, units a factor of 60 or more: the border is between, and what lies beyond is named after the
nearest unit.
"""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.units.latency_levels import LatencyLevels, ModelFacts
from hdap.fleet_data.units.plausible import limits, within

FACTORS = np.array([60.0, 1e3, 6e4, 1e6])
"""By what units differ: minutes and seconds, and each and the next thousandth."""
TOO_LARGE, TOO_SMALL = (1e3, 1e6, 6e4), (1e3, 6e4, 1e6)
"""The same, likely ones first: micro- and nanoseconds, or seconds and minutes, for milliseconds."""
SLOWER, FASTER = 30.0, 15.0
"""Beyond these a device is not slow or fast but read in another unit. A device has many reasons to
be slow, and few to be faster than most of its kind: in the measured fleets the slowest take 2.5
times the median and the fastest 0.6 times, so that a slow one ten times slower stays below 30, and
a fast one times 60 lies above."""
CLASS = float(np.sqrt(60.0 * 1e3))
"""Half-way between the two smallest factors: what only software explains stays below."""
GAP = 6.0
"""Rows of a device that lie further apart are in two modes: pruned networks, batches and throttling
fill smaller gaps."""
SHARE, ROWS = 0.2, 3
"""A mode of 60 times counts from this share of a device's rows and so many rows on: less is a
hiccup. A mode that is all of a device counts always."""
DEVICES = 3
"""Devices that make a reference of their own."""


@dataclass(frozen=True)
class Verdicts:
    """For each of n groups of rows `factor`, by what its latencies are too large (1: nothing is
    wrong), and whether that is known from the `architecture` alone, without a fleet."""

    factor: Floats
    architecture: Bools


def judge(levels: LatencyLevels, facts: ModelFacts) -> Verdicts:
    """Judge all groups; `model` and `runtime` of `levels` index `facts`."""
    mode = modes_of(levels)
    modes = Modes.of(levels, mode)
    factor = np.ones(len(modes.log_ms))
    architecture = np.zeros(len(factor), dtype=np.bool_)
    for model in np.unique(modes.model):
        mine = np.flatnonzero(modes.model == model)
        reference, alone = _reference(modes.at(mine), facts)
        factor[mine] = factors(modes.log_ms[mine] - reference)
        architecture[mine] = alone
    hiccup = (np.abs(np.log(factor)) < np.log(CLASS)) & ~modes.enough
    factor[hiccup | modes.sure] = 1.0
    return Verdicts(factor[mode], architecture[mode])


def factors(apart: Floats) -> Floats:
    """The factor of units that each distance (log) stands for; 1 where it stands for none."""
    found = FACTORS[np.abs(np.abs(apart)[:, None] - np.log(FACTORS)).argmin(axis=1)]
    slower, faster = apart > np.log(SLOWER), apart < -np.log(FASTER)
    return np.where(slower, found, np.where(faster, 1.0 / found, 1.0))


@dataclass(frozen=True)
class Modes:
    """Columns of modes: `main` ones are all of a device's rows of a model, or a good part of them;
    `enough` have rows enough that a hiccup does not make. `stored` ones came with earlier ingests
    and are not set aside."""

    device: Ints
    model: Ints
    runtime: Ints
    log_ms: Floats
    batch: Floats
    clock_mhz: Floats
    stored: Bools
    sure: Bools
    main: Bools
    enough: Bools

    @classmethod
    def of(cls, levels: LatencyLevels, mode: Ints) -> "Modes":
        """What the groups of each mode have in common; means are weighted by rows."""
        count = int(mode.max(initial=-1)) + 1
        first = np.unique(mode, return_index=True)[1]
        rows = np.bincount(mode, levels.rows, minlength=count)
        clocked = np.isfinite(levels.clock_mhz)
        ticks = np.bincount(mode, np.where(clocked, levels.rows, 0.0), minlength=count)
        clocks = np.bincount(mode, levels.rows * np.nan_to_num(levels.clock_mhz), minlength=count)
        device, model = levels.device[first], levels.model[first]
        _, whole = np.unique(np.stack([device, model]), axis=1, return_inverse=True)
        share = rows / np.bincount(whole.ravel(), rows)[whole.ravel()]
        batch = np.ones(count)
        np.maximum.at(batch, mode, levels.batch)
        return cls(
            device,
            model,
            levels.runtime[first],
            np.bincount(mode, levels.rows * levels.log_ms, minlength=count) / rows,
            batch,
            np.where(ticks > 0, clocks / np.maximum(ticks, 1.0), np.nan),
            np.bincount(mode, ~levels.stored | levels.doubted, minlength=count) == 0,
            np.bincount(mode, levels.sure, minlength=count) > 0,
            share >= SHARE,
            (share == 1.0) | ((share >= SHARE) & (rows >= ROWS)),
        )

    def at(self, chosen: Bools | Ints) -> "Modes":
        """The chosen modes."""
        return Modes(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def modes_of(levels: LatencyLevels) -> Ints:
    """The mode of each group, numbered from 0."""
    if not len(levels):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((levels.log_ms, levels.device, levels.model))
    device, model, log_ms = levels.device[order], levels.model[order], levels.log_ms[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (np.diff(device) != 0) | (np.diff(model) != 0) | (np.diff(log_ms) > np.log(GAP))
    mode = np.empty(len(order), dtype=np.int64)
    mode[order] = np.cumsum(new) - 1
    return mode


def middle(values: Floats) -> float:
    """The median, of an even number the upper one: one of the values, none between two units."""
    return float(np.sort(values)[len(values) // 2])


def _reference(modes: Modes, facts: ModelFacts) -> tuple[Floats, bool]:
    """What each mode of one model is compared with (log ms), and whether no fleet says so."""
    least, most = limits(facts, modes.model, modes.runtime, modes.batch, modes.clock_mhz)
    main = modes.main if modes.main.any() else np.ones_like(modes.main)
    before = main & modes.stored
    for pool in (before, main):
        if pool is before and len(np.unique(modes.device[before])) < DEVICES:
            continue
        centre = middle(modes.log_ms[pool])
        if np.median(least[pool]) <= centre <= np.median(most[pool]):
            return _by_runtime(modes, pool, centre), False
    centre = middle(modes.log_ms[main])
    apart = factors(modes.log_ms - centre) != 1.0
    others = main & apart & within(modes.log_ms, least, most)
    if others.any():
        centre = middle(modes.log_ms[others])
        return _by_runtime(modes, others, centre), False
    low, high = float(np.median(least[main])), float(np.median(most[main]))
    shifts = np.log(TOO_LARGE) if centre > high else -np.log(TOO_SMALL)
    fits = shifts[(centre - shifts >= low) & (centre - shifts <= high)]
    return np.full(len(least), centre - (fits[0] if len(fits) else 0.0)), True


def _by_runtime(modes: Modes, pool: Bools, centre: float) -> Floats:
    """`centre`, and for a runtime that several devices of the pool have its own: software makes a
    device tens of times faster, not a thousand times."""
    reference = np.full(len(modes.log_ms), centre)
    for runtime in np.unique(modes.runtime[pool & (modes.runtime > 0)]):
        own = pool & (modes.runtime == runtime)
        at = middle(modes.log_ms[own])
        if len(np.unique(modes.device[own])) >= DEVICES and abs(at - centre) < np.log(CLASS):
            reference[modes.runtime == runtime] = at
    return reference
