"""What is true of a simulated fleet, without noise: for scoring searches and clusterings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.law import loadings, slowed
from hdap.simulation.simulated_fleet import Kind, SimulatedFleet
from hdap.simulation.workload import state_of

# Devices at a time where a mean over the fleet has no closed form.
_CHUNK = 4096


def true_latency(fleet: SimulatedFleet, architecture: Architecture, counts: Counts) -> Floats:
    """Simulated milliseconds of n configurations on D devices, `n x D`, without noise.

    Each device is in its steady state: its ordinary load and traffic, and the clock at which that
    load leaves it. `InputError` on counts that `architecture` does not have.
    """
    result = np.empty((len(counts), len(fleet)))
    for part in _by_kind(fleet):
        table = part.kind.law.profile(architecture, counts)
        result[:, part.positions] = part.slowed(table.grid(part.ratio))
    return result


def true_kind_latency(fleet: SimulatedFleet, architecture: Architecture, counts: Counts) -> Floats:
    """The same averaged (by weight) over the devices of each kind, `n x kinds`.

    NaN for a kind that no device has. Cheap for a fleet of any size: a machine without a quota is
    linear in the profile of the configuration, so its devices are summed before the configurations
    are looked at.
    """
    result = np.full((len(counts), len(fleet.spec.kinds)), np.nan)
    for part in _by_kind(fleet):
        table = part.kind.law.profile(architecture, counts).table
        share = fleet.weight[part.positions] / fleet.weight[part.positions].sum()
        mean = np.zeros(len(counts))
        for start in range(0, len(share), _CHUNK):
            few = part.some(slice(start, start + _CHUNK))
            weight = share[start : start + _CHUNK]
            if few.kind.quota_ms > 0:
                mean += few.slowed(table @ loadings(few.ratio).T) @ weight
            else:
                mean += table @ (loadings(few.ratio).T @ (weight * few.drag / few.speed))
        result[:, fleet.spec.kinds.index(part.kind)] = mean
    return result


def true_fleet_mean(fleet: SimulatedFleet, architecture: Architecture, counts: Counts) -> Floats:
    """The device-weighted mean over the whole fleet, n: what a search should have minimised."""
    by_kind = true_kind_latency(fleet, architecture, counts)
    weight = np.bincount(fleet.kind, weights=fleet.weight, minlength=by_kind.shape[1])
    here = weight > 0
    result: Floats = by_kind[:, here] @ (weight[here] / weight.sum())
    return result


@dataclass(frozen=True, eq=False)
class _Part:
    """The m devices of one kind: where they are in the fleet, memory ratio, drag and speed."""

    kind: Kind
    positions: Ints
    ratio: Floats
    drag: Floats
    speed: Floats

    def slowed(self, busy_ms: Floats) -> Floats:
        """From milliseconds at full clock (`n x m`) to milliseconds as they are."""
        return slowed(busy_ms * self.drag, self.speed, self.kind.quota_ms, self.kind.law)

    def some(self, rows: slice) -> "_Part":
        """A part of the part."""
        return _Part(
            self.kind, self.positions[rows], self.ratio[rows], self.drag[rows], self.speed[rows]
        )


def _by_kind(fleet: SimulatedFleet) -> Iterator[_Part]:
    level = fleet.thermal.steady_level(fleet.load)
    for number, kind in enumerate(fleet.spec.kinds):
        here = np.flatnonzero(fleet.kind == number)
        if len(here):
            state = state_of(fleet, kind, here, level[here], fleet.traffic[here])
            yield _Part(kind, here, state.ratio, state.drag, state.speed)
