"""The configurations that a fleet is asked to run, and how long they take it in truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import format_channels, parse_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.law import LatencyLaw, Profile, loadings, slowed
from hdap.simulation.simulated_fleet import Kind, SimulatedFleet

# Shares of the grids on which counts are drawn, as in the measured fleets: most people prune in
# multiples of eight, few on the finest grid.
_GRIDS = np.array([1, 4, 8, 16])
_GRID_SHARES = np.array([0.15, 0.2, 0.45, 0.2])

# Devices at a time where a mean over the fleet has no closed form.
_CHUNK = 4096


def counts_of(architecture: Architecture, texts: Sequence[str]) -> Counts:
    """Channel counts of n texts, `n x groups`; `InputError` for the first that is wrong."""
    parsed = parse_channels(architecture, texts)
    for text, error in zip(texts, parsed.errors, strict=True):
        if error is not None:
            raise InputError(
                f"channels must be a configuration of {architecture.model}, but {error} in "
                f"{text[:80]!r}; make the file again from this model"
            )
    return parsed.counts


def random_counts(architecture: Architecture, n: int, rng: np.random.Generator) -> Counts:
    """`n` random pruned configurations, `n x groups`, from about a tenth of the FLOPs to all.

    Each keeps a share of channels of its own (0.35-1), scattered over groups, on a grid of 1, 4, 8
    or 16 channels.
    """
    grid = rng.choice(_GRIDS, size=(n, 1), p=_GRID_SHARES)
    grid = np.lcm(grid, architecture.multiples)
    kept = rng.uniform(0.35, 1.0, size=(n, 1)) * np.exp(
        rng.normal(0.0, 0.25, size=(n, len(architecture.groups)))
    )
    counts = np.rint(np.minimum(kept, 1.0) * architecture.widths / grid).astype(np.int64) * grid
    lowest = np.minimum(grid, architecture.widths)
    # A width that is no multiple of the grid is still allowed whole.
    result: Counts = np.clip(counts, lowest, architecture.widths)
    return result


@dataclass(frozen=True)
class Workload:
    """W configurations: `models` and `channels` (text) of each, W entries."""

    parts: tuple[tuple[Architecture, Counts], ...]

    @classmethod
    def of(cls, parts: Sequence[tuple[Architecture, Counts]]) -> "Workload":
        """Configurations (`n x groups`) of each architecture, one after the other."""
        return cls(tuple(parts))

    def __len__(self) -> int:
        return sum(len(counts) for _, counts in self.parts)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(a.model for a, counts in self.parts for _ in range(len(counts)))

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(text for a, counts in self.parts for text in format_channels(a, counts))

    def profiles(self, laws: Sequence[LatencyLaw]) -> tuple[Profile, ...]:
        """What all configurations ask of each machine."""
        return tuple(self._profile(law) for law in laws)

    def _profile(self, law: LatencyLaw) -> Profile:
        each = [law.profile(architecture, counts) for architecture, counts in self.parts]
        return Profile(
            np.concatenate([p.table for p in each]), np.concatenate([p.memory_ms for p in each])
        )


@dataclass(frozen=True, eq=False)
class MachineState:
    """Where m devices of one kind stand at one moment.

    `ratio` is memory time over compute time relative to a quiet machine at full clock, `drag` how
    much slower than the law the core works, `speed` the clock as a share of nominal.
    """

    ratio: Floats
    drag: Floats
    speed: Floats


def state_of(
    fleet: SimulatedFleet, kind: Kind, device: Ints, level: Floats, traffic: Floats
) -> MachineState:
    """State of the devices at positions `device` (m), all of `kind`.

    `level` (m) is the clock over the device's own clock, `traffic` (m) 0..1.
    """
    speed = fleet.clock[device] * level
    drag = fleet.core[device] * (1 + kind.law.contended_core * traffic)
    ratio = fleet.memory[device] * (1 + kind.law.contended_memory * traffic) / drag
    return MachineState(ratio if kind.memory_follows_clock else ratio * speed, drag, speed)


def latency_ms(
    fleet: SimulatedFleet,
    profiles: Sequence[Profile],
    device: Ints,
    configuration: Ints,
    level: Floats,
    traffic: Floats,
) -> Floats:
    """Noise-free milliseconds of m pairs of device and configuration.

    `profiles` belong to `fleet.spec.laws`; `level` and `traffic` as for `state_of`, m each.
    """
    result = np.empty(len(device))
    kinds = fleet.kind[device]
    for number, kind in enumerate(fleet.spec.kinds):
        rows = np.flatnonzero(kinds == number)
        profile = profiles[fleet.spec.laws.index(kind.law)]
        state = state_of(fleet, kind, device[rows], level[rows], traffic[rows])
        busy = profile.rows(configuration[rows], state.ratio) * state.drag
        result[rows] = slowed(busy, state.speed, kind.quota_ms, kind.law)
    return result


def true_latency(fleet: SimulatedFleet, architecture: Architecture, counts: Counts) -> Floats:
    """Simulated milliseconds of n configurations on D devices, `n x D`, without noise.

    Each device is in its steady state: its ordinary load and traffic, and the clock at which that
    load leaves it. `InputError` on counts that `architecture` does not have.
    """
    result = np.empty((len(counts), len(fleet)))
    for kind, here, state in _by_kind(fleet):
        busy = kind.law.profile(architecture, counts).grid(state.ratio) * state.drag
        result[:, here] = slowed(busy, state.speed, kind.quota_ms, kind.law)
    return result


def true_kind_latency(fleet: SimulatedFleet, architecture: Architecture, counts: Counts) -> Floats:
    """The same averaged (by weight) over the devices of each kind, `n x kinds`.

    NaN for a kind that no device has. Cheap for a fleet of any size: a machine without a quota is
    linear in the profile of the configuration, so its devices are summed before the configurations
    are looked at.
    """
    result = np.full((len(counts), len(fleet.spec.kinds)), np.nan)
    for kind, here, state in _by_kind(fleet):
        table = kind.law.profile(architecture, counts).table
        share = fleet.weight[here] / fleet.weight[here].sum()
        mean = np.zeros(len(counts))
        for start in range(0, len(share), _CHUNK):
            few = slice(start, start + _CHUNK)
            knots, drag, speed = loadings(state.ratio[few]).T, state.drag[few], state.speed[few]
            if kind.quota_ms > 0:
                busy = table @ knots * drag
                mean += slowed(busy, speed, kind.quota_ms, kind.law) @ share[few]
            else:
                mean += table @ (knots @ (share[few] * drag / speed))
        result[:, fleet.spec.kinds.index(kind)] = mean
    return result


def true_fleet_mean(fleet: SimulatedFleet, architecture: Architecture, counts: Counts) -> Floats:
    """The device-weighted mean over the whole fleet, n: what a search should have minimised."""
    by_kind = true_kind_latency(fleet, architecture, counts)
    weight = np.bincount(fleet.kind, weights=fleet.weight, minlength=by_kind.shape[1])
    here = weight > 0
    result: Floats = by_kind[:, here] @ (weight[here] / weight.sum())
    return result


def _by_kind(fleet: SimulatedFleet) -> Iterator[tuple[Kind, Ints, MachineState]]:
    """Each kind that has devices, their positions, and their steady state."""
    level = fleet.thermal.steady_level(fleet.load)
    for number, kind in enumerate(fleet.spec.kinds):
        here = np.flatnonzero(fleet.kind == number)
        if len(here):
            yield kind, here, state_of(fleet, kind, here, level[here], fleet.traffic[here])
