"""Heat: a device as one thermal mass (an RC model), and the throttling that follows."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Floats

# Dynamic power grows with frequency times the square of a voltage that follows it.
_POWER_EXPONENT = 3.0


@dataclass(frozen=True, slots=True)
class Thermal:
    """Constants of one kind of device.

    `power_w` is drawn at full clock and full load, of which `idle_share` always. `resistance`
    (K/W) and `tau_s` (s) make the temperature. `ambient_c` is the middle of its surroundings,
    `ambient_spread` (K) their deviation over devices, `swing` (K) between night and day. Above
    `throttle_c` the clock goes down by `clock_step` each `reaction_s`, not below `lowest_clock`;
    `hysteresis` (K) below that it comes back.
    """

    power_w: float = 5.0
    idle_share: float = 0.2
    resistance: float = 4.0
    tau_s: float = 180.0
    ambient_c: float = 25.0
    ambient_spread: float = 3.0
    swing: float = 4.0
    throttle_c: float = 80.0
    hysteresis: float = 5.0
    clock_step: float = 0.05
    reaction_s: float = 10.0
    lowest_clock: float = 0.4


@dataclass(frozen=True, eq=False)
class ThermalArrays:
    """Constants of m devices, m floats each: see `Thermal`. `ambient_c` is each device's own."""

    power_w: Floats
    idle_share: Floats
    resistance: Floats
    tau_s: Floats
    ambient_c: Floats
    swing: Floats
    throttle_c: Floats
    hysteresis: Floats
    clock_step: Floats
    reaction_s: Floats
    lowest_clock: Floats

    def power(self, load: Floats, level: Floats) -> Floats:
        """Watts at `load` (0..1) and clock `level` (a share of the device's own clock)."""
        active = load * level**_POWER_EXPONENT * (1 - self.idle_share)
        result: Floats = self.power_w * (self.idle_share + active)
        return result

    def steady_level(self, load: Floats, day: Floats | float = 0.0) -> Floats:
        """The highest clock level at which `load` for ever stays below the throttle temperature.

        `day` runs from -1 (coldest hour) to 1. Never below `lowest_clock`, nor above 1.
        """
        budget = (self.throttle_c - self.ambient_c - day * self.swing) / self.resistance
        active = budget / self.power_w - self.idle_share
        most = np.maximum(load * (1 - self.idle_share), 1e-9)
        level = np.maximum(active / most, 0.0) ** (1 / _POWER_EXPONENT)
        steps = np.ceil((1 - np.minimum(level, 1.0)) / self.clock_step - 1e-9)
        result: Floats = np.maximum(1 - steps * self.clock_step, self.lowest_clock)
        return result


@dataclass(eq=False)
class ThermalState:
    """Temperature (degrees Celsius) and clock level of m devices, carried through time."""

    arrays: ThermalArrays
    temperature: Floats
    level: Floats

    @classmethod
    def rested(cls, arrays: ThermalArrays, load: Floats) -> "ThermalState":
        """Devices that have done `load` for a long time."""
        level = arrays.steady_level(load)
        heat = arrays.power(load, level) * arrays.resistance
        return cls(arrays, arrays.ambient_c + heat, level)

    def advance(self, seconds: Floats, load: Floats, day: Floats) -> None:
        """Let `seconds` (m) pass at `load`; the temperature moves first, then the clock.

        The governor may take as many steps as it has time for, but none beyond what the load needs.
        """
        a = self.arrays
        heat = a.power(load, self.level) * a.resistance
        goal = a.ambient_c + day * a.swing + heat
        self.temperature = goal + (self.temperature - goal) * np.exp(-seconds / a.tau_s)
        room = np.maximum(seconds // a.reaction_s, 1.0) * a.clock_step
        bearable = a.steady_level(load, day)
        lower = np.maximum(self.level - room, np.minimum(bearable, self.level))
        higher = np.minimum(self.level + room, np.maximum(bearable, self.level))
        hot = self.temperature > a.throttle_c
        cool = self.temperature < a.throttle_c - a.hysteresis
        self.level = np.where(hot, lower, np.where(cool, higher, self.level))
