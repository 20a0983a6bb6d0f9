"""How long one inference takes: a roofline over the layers, and the noise of measuring it.

The roofline is that of Williams, Waterman and Patterson (Communications of the ACM 52(4), 2009),
applied to each layer; what a kernel really computes is rounded up to its blocks, as measured in the
fleets that ship with hdap: 49 channels cost what 64 cost.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import check_counts, layer_channels
from hdap.fleet_data.records import Floats, Ints

# Memory time over compute time, relative to a quiet machine at full clock. Contention moves it up,
# a slow clock down. In between, the cost of a layer is linear to within 0.3 %.
KNOTS = np.geomspace(1 / 16, 16, 49)

_BYTES = 4  # float32

# A lognormal share has no end; a latency must stay a number that a watchdog would let pass.
_LONGEST = 100.0

_SPIKE_SPREAD = 0.5  # logarithmic deviation of spikes: too few were measured to fit it


@dataclass(frozen=True, slots=True)
class LatencyLaw:
    """Constants of one machine with one runtime.

    `*_ns` are nanoseconds per multiply-accumulate of k x k, 1 x 1 and depthwise kernels, `byte_ns`
    nanoseconds per byte moved, `layer_ms` the fixed cost of each layer. Output channels are
    rounded up to `block`, input channels to `pack`. The penalties are extra shares of compute time:
    `block_penalty` where the output fills no whole block, `pack_penalty` and `input_penalty` where
    output and input are no multiple of `pack`; depthwise kernels have their own. A layer of p
    positions and c channels pays `1 + positions_half / p` and `1 + channels_half / c` for filling
    the machine badly. `sharpness` is the power of the smooth maximum of compute and memory time: 1
    adds them (nothing overlaps), large is the ideal roofline.

    `contended_memory` and `contended_core` say how much memory and core slow down when the other
    cores move as much as they can. `duty_start` and `duty_width`: on a machine whose clock is a
    quota (`period_ms`), an inference shorter than about `duty_start` quotas is let through
    undisturbed, and a longer one waits for `duty_late` periods more than its share.
    """

    kernel_ns: float
    pointwise_ns: float
    depthwise_ns: float
    byte_ns: float
    layer_ms: float
    block: int = 16
    pack: int = 4
    block_penalty: float = 0.0
    pack_penalty: float = 0.0
    input_penalty: float = 0.0
    depthwise_block_penalty: float = 0.0
    depthwise_pack_penalty: float = 0.0
    positions_half: float = 0.0
    channels_half: float = 0.0
    sharpness: float = 2.0
    contended_memory: float = 0.0
    contended_core: float = 0.0
    duty_start: float = 0.7
    duty_width: float = 0.1
    duty_late: float = 0.0

    def profile(self, architecture: Architecture, counts: Counts) -> "Profile":
        """What n configurations (`n x groups`) ask of this machine; `InputError` on bad counts."""
        compute, memory = self.parts(architecture, check_counts(architecture, counts))
        table = np.empty((len(counts), len(KNOTS)))
        for column, ratio in enumerate(KNOTS):
            table[:, column] = self._combine(compute, ratio * memory).sum(axis=1)
        table += self.layer_ms * compute.shape[1]
        return Profile(table, np.maximum(np.round(memory.sum(axis=1), 9), 0.0))

    def parts(self, architecture: Architecture, counts: Counts) -> tuple[Floats, Floats]:
        """Compute and memory milliseconds of each convolution and linear layer, `n x layers`."""
        work = _Work.of(architecture, counts)
        return self._compute_ms(work), work.bytes * (self.byte_ns * 1e-6)

    def _compute_ms(self, work: "_Work") -> Floats:
        depthwise = work.depthwise
        inputs = np.where(work.grouped, work.inputs, _up(work.inputs, self.pack))
        # The image has three channels and a kernel of its own: nothing is padded there.
        inputs = np.where(work.inputs <= 3, work.inputs, inputs)
        outputs = _up(work.outputs, self.block)
        split = work.outputs % self.block != 0
        loose = work.outputs % self.pack != 0
        loose_input = (work.inputs % self.pack != 0) & (work.inputs > 3)
        penalty = np.where(
            depthwise,
            self.depthwise_block_penalty * split + self.depthwise_pack_penalty * loose,
            self.block_penalty * split
            + self.pack_penalty * loose
            + self.input_penalty * loose_input,
        )
        rate = np.where(work.area > 1, self.kernel_ns, self.pointwise_ns)
        rate = np.where(depthwise, self.depthwise_ns, rate)
        fill = (1 + self.positions_half / work.positions) * (1 + self.channels_half / outputs)
        result: Floats = (
            work.positions * work.area * inputs * outputs * rate * 1e-6 * (1 + penalty) * fill
        )
        return result

    def _combine(self, compute: Floats, memory: Floats) -> Floats:
        high = np.maximum(compute, memory)
        low = np.minimum(compute, memory)
        # Scaled by the larger one, so that a high power neither overflows nor vanishes.
        result: Floats = high * (1 + (low / high) ** self.sharpness) ** (1 / self.sharpness)
        return result


@dataclass(frozen=True, eq=False)
class Profile:
    """What n configurations ask of one machine, ready for any number of its devices.

    `table` (`n x knots`) holds milliseconds at full clock for each memory ratio in `KNOTS`;
    `memory_ms` (n) the part that moves bytes, for reports.
    """

    table: Floats
    memory_ms: Floats

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def quiet_ms(self) -> Floats:
        """Milliseconds on a quiet machine at full clock, n."""
        return self.rows(np.arange(len(self)), np.ones(len(self)))

    def rows(self, configuration: Ints, ratio: Floats) -> Floats:
        """Milliseconds at full clock of m pairs of configuration and memory ratio."""
        knot, share = _between(ratio)
        low = self.table[configuration, knot]
        result: Floats = low + (self.table[configuration, knot + 1] - low) * share
        return result

    def grid(self, ratio: Floats) -> Floats:
        """Milliseconds at full clock of all configurations on D devices, `n x D`."""
        return self.table @ loadings(ratio).T


def loadings(ratio: Floats) -> Floats:
    """Weights of the knots for D devices, `D x knots`: latencies are linear in them."""
    knot, share = _between(ratio)
    result = np.zeros((len(ratio), len(KNOTS)))
    rows = np.arange(len(ratio))
    result[rows, knot] = 1 - share
    result[rows, knot + 1] = share
    return result


def slowed(busy_ms: Floats, clock: Floats, period_ms: float, law: LatencyLaw) -> Floats:
    """Milliseconds on a machine that runs at a share `clock` of its speed.

    Without `period_ms` all is slower by `1 / clock`. With it the share is a quota of every period:
    what fits into the first is hardly slowed, longer work waits for the periods that it needs.
    """
    if period_ms <= 0:
        return busy_ms / clock
    quotas = busy_ms / (period_ms * clock)
    steep = np.clip((quotas - law.duty_start) / law.duty_width, -40.0, 40.0)
    waits = (quotas + law.duty_late) / (1 + np.exp(-steep))
    result: Floats = busy_ms + period_ms * (1 - clock) * waits
    return result


def _between(ratio: Floats) -> tuple[Ints, Floats]:
    inside = np.clip(ratio, KNOTS[0], KNOTS[-1])
    step = np.log(KNOTS[1] / KNOTS[0])
    knot = np.minimum((np.log(inside / KNOTS[0]) / step).astype(np.int64), len(KNOTS) - 2)
    share: Floats = (inside - KNOTS[knot]) / (KNOTS[knot + 1] - KNOTS[knot])
    return knot, share


def _up(channels: Counts, multiple: int) -> Counts:
    result: Counts = -(-channels // multiple) * multiple
    return result


@dataclass(frozen=True, eq=False)
class _Work:
    """What the layers do: `n x layers` counts, and one entry a layer for what is fixed."""

    inputs: Counts  # channels that one output channel reads
    outputs: Counts
    bytes: Floats
    positions: Counts
    area: Counts
    depthwise: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    grouped: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    @classmethod
    def of(cls, architecture: Architecture, counts: Counts) -> "_Work":
        kept = [i for i, x in enumerate(architecture.layers) if x.computes]
        layers = [architecture.layers[i] for i in kept]
        inputs, outputs = (side[:, kept] for side in layer_channels(architecture, counts))
        depthwise = np.array([x.depthwise for x in layers])
        groups = np.array([x.groups for x in layers])
        area = np.array([x.kernel[0] * x.kernel[1] for x in layers])
        positions = np.array([x.applied_at for x in layers])
        written = np.array([x.output_size[0] * x.output_size[1] for x in layers])
        read = np.array([x.input_size[0] * x.input_size[1] for x in layers])
        each = np.where(depthwise, 1, inputs // groups)
        moved = inputs * read + outputs * written + each * outputs * area
        return cls(
            each,
            outputs,
            moved * float(_BYTES),
            positions,
            area,
            depthwise,
            depthwise | (groups > 1),
        )


@dataclass(frozen=True, slots=True)
class Noise:
    """Multiplicative noise on latencies with heavy tails.

    A reported median is off by a lognormal factor of `scatter`, whatever the number of runs: what
    disturbs them lasts longer than they do. Another of `drift` is shared by all rows of a session.
    With probability `spike_rate` something else ran and it is longer by a lognormal share around
    `spike`. The 95th percentile of the runs lies a lognormal
    share around `tail` above the median, with the logarithmic deviation `spread`.
    """

    scatter: float = 0.02
    drift: float = 0.015
    spike_rate: float = 0.01
    spike: float = 0.2
    tail: float = 0.02
    spread: float = 1.0


def draw_median(
    scatter: Floats, spike_rate: Floats, spike: Floats, rng: np.random.Generator
) -> Floats:
    """Factors on the true latency, n; each argument has one value a measurement."""
    n = len(scatter)
    factor = np.exp(scatter * rng.standard_normal(n))
    hit = np.flatnonzero(rng.random(n) < spike_rate)
    share = spike[hit] * np.exp(_SPIKE_SPREAD * rng.standard_normal(len(hit)))
    factor[hit] *= 1 + np.minimum(share, _LONGEST)
    return factor


def draw_p95(tail: Floats, spread: Floats, rng: np.random.Generator) -> Floats:
    """Factors (>= 1) of the 95th percentile on the median, n."""
    share = tail * np.exp(spread * rng.standard_normal(len(tail)))
    result: Floats = 1 + np.minimum(share, _LONGEST)
    return result
