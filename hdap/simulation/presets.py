"""Ready-made fleets. The machine's law and noise are the calibrated ones; the rest is assumed."""

from collections.abc import Callable
from dataclasses import replace

from hdap.fleet_data.plugins import Registry
from hdap.simulation.calibrated import calibrated
from hdap.simulation.simulated_fleet import SENSORS, FleetSpec, Kind
from hdap.simulation.thermal import Thermal

_MEASURED_SENSORS = ("cpu_freq_mhz", "cpu_load_pct")
# Two cores, a fan and a data centre: the measured machine never throttled.
_COOLED = Thermal(resistance=1.0, throttle_c=150.0, ambient_c=24.0, ambient_spread=0.5, swing=0.5)


def preset(name: str, devices: int, seed: int = 0) -> FleetSpec:
    """The preset `name` with this many devices; `InputError` for an unknown name."""
    return FleetSpec(name, PRESETS[name](), devices, seed)


def _microfleet() -> tuple[Kind, ...]:
    """The four kinds of the measured fleets: shares, clocks and traffic as they were there."""
    fitted = calibrated()
    common = Kind(
        "",
        1.0,
        fitted.law,
        thermal=_COOLED,
        nominal_mhz=2600.0,
        traffic=0.0,
        traffic_spread=0.0,
        load=0.5,
        load_spread=0.0,
        manufacturing=0.005,
        age_years=0.0,
        quota_ms=5.0,
        memory_follows_clock=True,
        sensors=_MEASURED_SENSORS,
        missing=0.0,
    )
    table = (
        ("fresh", 16, 0.99, 0.01, 0.0, 0.0),
        ("contended", 10, 0.95, 0.03, 0.97, 0.03),
        ("power-save", 6, 0.61, 0.01, 0.0, 0.0),
        ("hot", 8, 0.415, 0.012, 0.33, 0.04),
    )
    return tuple(
        replace(
            common,
            name=name,
            share=share,
            noise=fitted.noise[name],
            clock=clock,
            clock_spread=spread / clock,
            traffic=traffic,
            traffic_spread=busy,
        )
        for name, share, clock, spread, traffic, busy in table
    )


def _cameras() -> tuple[Kind, ...]:
    """Mains-powered boxes on walls: sun and dust throttle some, a second stream slows others."""
    fitted = calibrated()
    law = replace(fitted.law, byte_ns=2 * fitted.law.byte_ns, contended_memory=0.8)
    # A firmware before the padded kernels: what fills no block of 8 falls back to plain code.
    old = replace(law, block=8, pack=8, block_penalty=0.02, pack_penalty=0.5, input_penalty=0.3)
    heat = Thermal(power_w=9.0, resistance=4.5, throttle_c=78.0, ambient_c=24.0)
    base = Kind("shade", 55, law, fitted.noise["fresh"], heat, nominal_mhz=1800.0)
    base = replace(
        base, sensors=tuple(s for s in SENSORS if not s.startswith("battery")), age_years=2.0
    )
    sun = replace(heat, resistance=5.5, ambient_c=46.0, ambient_spread=4.0, swing=7.0)
    return (
        base,
        replace(base, name="sun", share=20, thermal=sun, load=0.85, noise=fitted.noise["hot"]),
        replace(
            base,
            name="two-streams",
            share=15,
            traffic=0.8,
            traffic_spread=0.08,
            load=0.7,
            noise=fitted.noise["contended"],
        ),
        replace(base, name="old-firmware", share=10, law=old, clock=0.8, age_years=5.0),
    )


def _phones() -> tuple[Kind, ...]:
    """Phones of one model: new, worn, in a saving mode, in a thick case, with a slow fallback.

    Wear and heat come by degrees, so these kinds shade into each other: hard for a clustering.
    """
    fitted = calibrated()
    law = replace(fitted.law, block=8, byte_ns=1.5 * fitted.law.byte_ns, contended_memory=0.5)
    # The fast path for k x k kernels is missing, which 1 x 1 kernels hardly notice.
    plain = replace(
        law,
        block=4,
        kernel_ns=2.6 * law.kernel_ns,
        pointwise_ns=1.3 * law.pointwise_ns,
        depthwise_ns=3 * law.depthwise_ns,
    )
    heat = Thermal(power_w=4.0, resistance=7.0, tau_s=240.0, throttle_c=45.0, ambient_c=23.0)
    base = Kind("new", 40, law, fitted.noise["fresh"], heat, nominal_mhz=2800.0, battery=True)
    base = replace(base, age_years=0.7, weight_spread=0.5, missing=0.06, memory_mb=3500.0)
    saving = fitted.noise["power-save"]
    return (
        base,
        replace(base, name="worn", share=25, age_years=4.5, slowdown_per_year=0.01),
        replace(base, name="saver", share=15, clock=0.55, noise=saving),
        replace(
            base,
            name="cased",
            share=12,
            thermal=replace(heat, resistance=11.0, ambient_c=27.0),
            load=0.6,
            noise=fitted.noise["hot"],
        ),
        replace(base, name="fallback", share=8, law=plain, noise=fitted.noise["contended"]),
    )


PRESETS: Registry[Callable[[], tuple[Kind, ...]]] = Registry(
    "the preset",
    "presets",
    {"microfleet": _microfleet, "cameras": _cameras, "phones": _phones},
)
"""Kinds by preset name."""
