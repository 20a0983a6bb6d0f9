"""Policies by what the device is like: memory, battery, temperature."""

from __future__ import annotations

from dataclasses import dataclass

from hdap.device.policies.base import Decision, Policy, State, amount, most_accurate, untold

MEMORY = {"MB": 1.0, "GB": 1024.0, "": 1.0}


@dataclass(frozen=True)
class MemoryLimit(Policy):
    """At most so many MiB resident in this process."""

    mb: float
    form = "SIZE, as 300MB"

    @classmethod
    def read(cls, text: str) -> MemoryLimit:
        return cls(amount(text, MEMORY))

    def decide(self, state: State) -> Decision:
        def words(i: int) -> str:
            return f"{state.names[i]} at {state.memory_mb[i]:.0f} MB of {self.mb:g} MB"

        return most_accurate(state, [x / self.mb for x in state.memory_mb], words)


@dataclass(frozen=True)
class MemoryLeft(Policy):
    """At least so many MiB available on the device."""

    mb: float
    form = "SIZE, as 500MB"

    @classmethod
    def read(cls, text: str) -> MemoryLeft:
        return cls(amount(text, MEMORY))

    def decide(self, state: State) -> Decision:
        available = state.available_mb
        if available is None:
            return untold(state, "available memory")
        own = state.memory_mb[state.current]
        left = [max(available - (x - own), 1e-9) for x in state.memory_mb]

        def words(i: int) -> str:
            return f"{state.names[i]} leaves {left[i]:.0f} MB available, {self.mb:g} MB wanted"

        return most_accurate(state, [self.mb / x for x in left], words)


@dataclass(frozen=True)
class Battery(Policy):
    """The fastest variant below a charge of `pct`."""

    pct: float
    form = "PERCENT, as 20"

    @classmethod
    def read(cls, text: str) -> Battery:
        return cls(amount(text, {"": 1.0, "%": 1.0}))

    def decide(self, state: State) -> Decision:
        charge = state.battery_pct
        if charge is None:
            return untold(state, "charge")
        excess = [0.0] + [self.pct / max(charge, 1e-9)] * (len(state.names) - 1)
        return most_accurate(
            state, excess, lambda i: f"{state.names[i]} at a charge of {charge:.0f} %"
        )


@dataclass(frozen=True)
class Heat(Policy):
    """The fastest variant above `celsius`."""

    celsius: float
    form = "DEGREES, as 80"

    @classmethod
    def read(cls, text: str) -> Heat:
        return cls(amount(text, {"": 1.0, "C": 1.0}))

    def decide(self, state: State) -> Decision:
        heat = state.temperature_c
        if heat is None:
            return untold(state, "temperature")
        excess = [0.0] + [heat / self.celsius] * (len(state.names) - 1)
        return most_accurate(state, excess, lambda i: f"{state.names[i]} at {heat:.0f} degrees")
