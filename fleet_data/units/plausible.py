"""Which latencies a network can have at all: what devices compute in a second, from
microcontrollers to data centres.

The bounds are rates of multiply-accumulates (MAC) at batch size 1, each with about a factor of two
to spare of what was published: ResNet-50 takes 0.25-0.3 ms in int8 on an H100 (15e12 MAC/s) and
0.4 ms on the fastest phones; MobileNetV1 takes 2 s on the first Raspberry Pi (0.3e9 MAC/s), and a
network of a quarter of it 1 s on a Cortex-M7 (0.04e9 MAC/s).
"""

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.units.latency_levels import ModelFacts

FASTEST = 30e12
FASTEST_CPU = 4e12
"""MAC/s; one server CPU with matrix instructions stays below the second."""
SLOWEST = 0.15e9
SLOWEST_SMALL = 0.01e9
SMALL = 2e6
"""MAC/s; a network of at most so many parameters fits a microcontroller, others do not."""
BATCH_GAIN = 16.0
"""By how much more a device computes in a second when it is given many images at once."""
PER_CYCLE = (0.1, 6000.0)
"""MAC per cycle of the device's CPU: plain code without vectors makes 0.25 or more; a data centre's
accelerator reaches 4,000 of its host's."""
ANY_MS = (0.01, 60_000.0)
"""Where the network is not known: no network that is pruned takes less, nobody waits longer."""


def limits(
    facts: ModelFacts, model: Ints, runtime: Ints, batch: Floats, clock_mhz: Floats
) -> tuple[Floats, Floats]:
    """Least and largest log ms of the dense network that are plausible (n each)."""
    macs = facts.flops[model]
    cycles = clock_mhz * 1e6
    fastest = np.where(facts.on_cpu[runtime], FASTEST_CPU, FASTEST)
    fastest = fastest * np.clip(batch, 1.0, BATCH_GAIN)
    fastest = np.fmin(fastest, PER_CYCLE[1] * cycles)
    slowest = np.where(facts.parameters[model] <= SMALL, SLOWEST_SMALL, SLOWEST)
    slowest = np.fmax(slowest, PER_CYCLE[0] * cycles)
    known = np.isfinite(macs)
    least = np.where(known, 1e3 * macs / fastest, ANY_MS[0])
    most = np.where(known, 1e3 * macs / slowest, ANY_MS[1])
    return np.log(least), np.log(np.maximum(most, least))


def within(log_ms: Floats, least: Floats, most: Floats) -> Bools:
    """Whether each lies inside its limits."""
    result: Bools = (log_ms >= least) & (log_ms <= most)
    return result
