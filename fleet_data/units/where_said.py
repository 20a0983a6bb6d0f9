"""Which of a file's rows a unit is meant for, when not all of them can be in it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.fleet_data.units.judge import Modes, factors, middle, modes_of
from hdap.fleet_data.units.latency_levels import LatencyLevels
from hdap.fleet_data.units.latency_unit import LatencyUnits


def where_said(units: LatencyUnits, levels: LatencyLevels, devices: Sequence[str]) -> Floats:
    """Milliseconds per unit of each of n groups of a file's rows, as they are written in it; NaN
    where nothing is said.

    `devices` are the groups' device ids. A unit of all is that of all, but in a file whose rows lie
    apart by just that unit it is that of those rows: the others are in milliseconds. Raises
    InputError for a device that the file does not have.
    """
    found = np.full(len(levels), np.nan)
    if units.of_all is not None:
        found[_meant(levels, units.of_all)] = units.of_all
    names = np.array(devices, dtype=object)
    for device, unit in units.of_device.items():
        mine = names == device
        if not mine.any():
            raise InputError(
                f"`--unit {device}=...` must name a device of the file, but it has none of that "
                f"name: check it against the file"
            )
        found[mine] = unit
    return found


def _meant(levels: LatencyLevels, unit_ms: float) -> NDArray[np.bool_]:
    """The groups that a unit of all is meant for (n)."""
    mode = modes_of(levels)
    modes = Modes.of(levels, mode)
    meant = np.ones(len(modes.log_ms), dtype=np.bool_)
    for model in np.unique(modes.model):
        mine = modes.model == model
        centre = middle(modes.log_ms[mine & modes.main])
        apart = factors(modes.log_ms - centre)
        beside, opposite = (mine & np.isclose(apart, x) for x in (1.0 / unit_ms, unit_ms))
        if unit_ms != 1.0 and (beside & modes.main).any():
            meant[mine] = beside[mine]
        elif unit_ms != 1.0 and (opposite & modes.main).any():
            meant[mine] = ~opposite[mine]
    result: NDArray[np.bool_] = meant[mode]
    return result
