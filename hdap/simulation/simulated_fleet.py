"""What a simulated fleet is made of, and the devices drawn from it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.law import LatencyLaw, Noise
from hdap.simulation.thermal import Thermal, ThermalArrays

SENSORS = (
    "cpu_freq_mhz",
    "temperature_c",
    "cpu_load_pct",
    "mem_available_mb",
    "battery_pct",
    "battery_health_pct",
    "power_w",
    "energy_mj",
)
"""Context columns that a simulated device can report."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of device: `share` of the fleet (relative to the others'), and what it is like.

    `clock` is its power mode, a share of `nominal_mhz`; `traffic` 0..1 what else moves memory;
    `load` 0..1 what it does all day. `*_spread` are standard deviations over devices, relative for
    `clock`, absolute otherwise; `manufacturing` the relative one of core and memory speed. Each
    year of age costs `slowdown_per_year`; a battery (`battery`) below 80 % health takes clock away.
    `quota_ms` > 0: the clock is a quota of periods this long. `memory_follows_clock`: a slow clock
    slows memory too. `missing` is the share of sensor values that get lost; `weight_spread` the
    logarithmic deviation of weights.
    """

    name: str
    share: float
    law: LatencyLaw
    noise: Noise = field(default_factory=Noise)
    thermal: Thermal = field(default_factory=Thermal)
    nominal_mhz: float = 2000.0
    clock: float = 1.0
    clock_spread: float = 0.01
    traffic: float = 0.05
    traffic_spread: float = 0.03
    load: float = 0.3
    load_spread: float = 0.1
    manufacturing: float = 0.01
    age_years: float = 1.0
    slowdown_per_year: float = 0.005
    battery: bool = False
    quota_ms: float = 0.0
    memory_follows_clock: bool = False
    memory_mb: float = 2000.0
    sensors: tuple[str, ...] = SENSORS
    missing: float = 0.02
    weight_spread: float = 0.0


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """A fleet by its kinds. The same spec always gives the same devices."""

    name: str
    kinds: tuple[Kind, ...]
    devices: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.devices < 1 or not self.kinds or any(k.share <= 0 for k in self.kinds):
            raise InputError(
                f"a fleet needs at least one device and kinds with `share > 0`, but got "
                f"devices={self.devices} and shares={[k.share for k in self.kinds]}"
            )
        unknown = {s for k in self.kinds for s in k.sensors} - set(SENSORS)
        if unknown:
            raise InputError(f"sensors must be among {SENSORS}, but got {sorted(unknown)}")

    @property
    def laws(self) -> tuple[LatencyLaw, ...]:
        """The different laws of the kinds, in their order."""
        return tuple(dict.fromkeys(k.law for k in self.kinds))


@dataclass(frozen=True, eq=False)
class SimulatedFleet:
    """The hidden truth about D devices, D entries each.

    `kind` indexes `spec.kinds`. `clock` (share of nominal), `traffic` and `load` (0..1) are what
    the device is like on an ordinary day; `core` and `memory` how much slower than its kind's law
    it computes and moves bytes; `ambient_c` how warm its place is.
    """

    spec: FleetSpec
    ids: NDArray[np.object_]
    kind: Ints
    weight: Floats
    clock: Floats
    traffic: Floats
    load: Floats
    core: Floats
    memory: Floats
    ambient_c: Floats
    age_years: Floats
    battery_health_pct: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, positions: Ints) -> "SimulatedFleet":
        """The devices at `positions`, in that order."""
        picked = {
            f.name: getattr(self, f.name)[positions] for f in fields(self) if f.name != "spec"
        }
        return SimulatedFleet(self.spec, **picked)

    def find(self, ids: tuple[str, ...]) -> "SimulatedFleet":
        """The devices with these `ids`; `InputError` for one that is not in the fleet."""
        where = {name: i for i, name in enumerate(self.ids.tolist())}
        unknown = [name for name in ids if name not in where]
        if unknown:
            raise InputError(
                f"devices must belong to the simulated fleet, but got {unknown[0]!r}; "
                f"its ids run from {self.ids[0]!r} to {self.ids[-1]!r}"
            )
        return self.at(np.array([where[name] for name in ids], dtype=np.int64))

    def of_kind(self, value: Callable[[Kind], float]) -> Floats:
        """A number of each device's kind, D."""
        return np.array([value(k) for k in self.spec.kinds], dtype=np.float64)[self.kind]

    @property
    def law(self) -> Ints:
        """Each device's law, index into `spec.laws`."""
        laws = self.spec.laws
        return np.array([laws.index(k.law) for k in self.spec.kinds], dtype=np.int64)[self.kind]

    @property
    def thermal(self) -> ThermalArrays:
        """Thermal constants of each device."""
        names = [f.name for f in fields(ThermalArrays) if f.name != "ambient_c"]
        table = {
            name: np.array([getattr(k.thermal, name) for k in self.spec.kinds])[self.kind]
            for name in names
        }
        return ThermalArrays(ambient_c=self.ambient_c, **table)

    @property
    def steady_clock(self) -> Floats:
        """Clock at which each device settles under its ordinary load, a share of nominal."""
        return self.clock * self.thermal.steady_level(self.load)


def draw_fleet(spec: FleetSpec) -> SimulatedFleet:
    """The devices of `spec`. Kinds are mixed at random: an id says nothing about its kind."""
    rng = np.random.default_rng(spec.seed)
    kind = rng.permutation(_apportion(np.array([k.share for k in spec.kinds]), spec.devices))
    digits = len(str(spec.devices - 1))
    ids = np.array([f"sim-{i:0{digits}d}" for i in range(spec.devices)], dtype=object)
    blank = np.empty(0)
    bare = SimulatedFleet(spec, ids, kind, *[blank] * 9)  # for `of_kind`
    normal = rng.standard_normal((8, spec.devices))
    of = bare.of_kind
    age = np.maximum(of(lambda k: k.age_years) * np.exp(0.4 * normal[0]), 0.0)
    health = np.clip(100 - 6 * age + 2 * normal[1], 50.0, 100.0)
    tired = np.where(of(lambda k: k.battery) > 0, np.maximum(80 - health, 0) / 100, 0.0)
    made = of(lambda k: k.manufacturing)
    clock = of(lambda k: k.clock) * (1 + of(lambda k: k.clock_spread) * normal[2]) * (1 - tired)
    traffic = of(lambda k: k.traffic) + of(lambda k: k.traffic_spread) * normal[3]
    load = of(lambda k: k.load) + of(lambda k: k.load_spread) * normal[4]
    return SimulatedFleet(
        spec,
        ids,
        kind,
        np.exp(of(lambda k: k.weight_spread) * rng.standard_normal(spec.devices)),
        np.clip(clock, 0.05, 1.0),
        np.clip(traffic, 0.0, 1.0),
        np.clip(load, 0.02, 1.0),
        np.exp(made * normal[5]) * (1 + of(lambda k: k.slowdown_per_year) * age),
        np.exp(made * normal[6]),
        of(lambda k: k.thermal.ambient_c) + of(lambda k: k.thermal.ambient_spread) * normal[7],
        age,
        health,
    )


def _apportion(shares: Floats, devices: int) -> Ints:
    """Kind of each device, kinds in a row, with shares kept to within one device."""
    edges = np.rint(np.cumsum(shares / shares.sum()) * devices).astype(np.int64)
    return np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0))
