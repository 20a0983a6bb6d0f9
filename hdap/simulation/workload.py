"""The configurations that a fleet is asked to run, of one model or several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.law import LatencyLaw, Profile, slowed
from hdap.simulation.simulated_fleet import Kind, SimulatedFleet


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
