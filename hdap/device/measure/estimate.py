"""From slices of inferences to a ratio with its interval: pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CLOCKS_AGREE = 0.05


@dataclass(frozen=True)
class Slice:
    """Consecutive inferences of one network: `start` and `latencies` in seconds.

    `cpu` is the CPU time (s) of all of them, None where it does not tell their cost.
    """

    start: float
    latencies: tuple[float, ...]
    cpu: float | None = None

    @property
    def middle(self) -> float:
        return self.start + math.fsum(self.latencies) / 2

    @property
    def level(self) -> float:
        return statistics.median(self.latencies)

    def mean(self, clock: str) -> float:
        """Seconds an inference by `wall` or `cpu` clock."""
        total = self.cpu if clock == "cpu" and self.cpu else math.fsum(self.latencies)
        return total / len(self.latencies)


@dataclass(frozen=True)
class Ratio:
    """A latency over the reference's at the same moment, with its 95 % interval."""

    value: float
    low: float
    high: float
    used: tuple[bool, ...]
    enough: bool

    @property
    def width(self) -> float:
        return (self.high - self.low) / self.value


@dataclass(frozen=True)
class Estimate:
    """What slices say about one network.

    `p90`, `p95` and `p99` are the ratio times what single inferences take over their median, so
    never below it. `reference_s` is the median of the reference's levels, `reference_quiet_s` their
    lower quartile. `reference_cpu_s` is the median CPU time of its inferences and `reference_wait`
    how many times longer they took in the calmest tenth of its slices (None without a CPU clock).
    """

    ratio: Ratio
    clock: str
    p90: float
    p95: float
    p99: float
    raw_s: float
    runs: int
    reference_s: float
    reference_quiet_s: float
    reference_cpu_s: float | None = None
    reference_wait: float | None = None


def clock_of(slices: Sequence[Slice]) -> str:
    """`cpu` where every slice has a CPU time, else `wall`."""
    return "cpu" if all(s.cpu for s in slices) else "wall"


def reference_at(times: Floats, references: Sequence[Slice], clock: str = "wall") -> Floats:
    """The reference's mean latency (s) at `times`: its log, linear between slices."""
    at = [r.middle for r in references]
    levels = [math.log(r.mean(clock)) for r in references]
    return np.asarray(np.exp(np.interp(times, at, levels)), dtype=np.float64)


def settled(references: Sequence[Slice], threshold: float, clock: str = "wall") -> list[bool]:
    """Whether the references around each slice differ by at most `threshold` (a fraction)."""
    limit = math.log1p(threshold)
    levels = [math.log(r.mean(clock)) for r in references]
    return [abs(levels[i + 1] - levels[i]) <= limit for i in range(len(levels) - 1)]


def middle_mean(values: Floats) -> Floats:
    """Mean of the middle half along the last axis: nearly as robust as the median, less noisy."""
    cut = values.shape[-1] // 4
    kept = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut]
    return np.asarray(kept.mean(axis=-1), dtype=np.float64)


def ratio_of(
    candidates: Sequence[Slice],
    references: Sequence[Slice],
    threshold: float,
    clock: str = "wall",
    seed: int = 0,
) -> Ratio:
    """The ratio of a network's latency to the reference's, from interleaved slices.

    Candidate slice i was taken between references i and i + 1. Slices around which the reference
    moved by more than `threshold` are left out, unless fewer than half would remain. The interval
    resamples whole slices: inferences of one slice share their disturbances (Davison and Hinkley,
    Bootstrap Methods, 1997, section 3.8).
    """
    calm = settled(references, threshold, clock)
    enough = 2 * sum(calm) >= len(calm)
    used = np.array(calm) if enough else np.ones(len(calm), dtype=bool)
    times = np.array([c.middle for c in candidates])
    means = np.array([c.mean(clock) for c in candidates])
    logs = np.log(means / reference_at(times, references, clock))[used]
    chosen = np.random.default_rng(seed).integers(len(logs), size=(1000, len(logs)))
    low, high = np.quantile(middle_mean(logs[chosen]), [0.025, 0.975])
    value = float(middle_mean(logs))
    return Ratio(
        value=math.exp(value),
        low=math.exp(min(value, float(low))),
        high=math.exp(max(value, float(high))),
        used=tuple(bool(x) for x in used),
        enough=enough,
    )


def estimate(
    candidates: Sequence[Slice], references: Sequence[Slice], threshold: float, seed: int = 0
) -> Estimate:
    """Everything a row needs from interleaved slices (see `ratio_of`).

    The CPU clock is used where there is one and where the wall clock does not contradict it.
    """
    clock = clock_of([*candidates, *references])
    ratio = ratio_of(candidates, references, threshold, "wall", seed)
    if clock == "cpu":
        sharp = ratio_of(candidates, references, threshold, "cpu", seed)
        if abs(math.log(sharp.value / ratio.value)) <= max(CLOCKS_AGREE, ratio.width):
            ratio = sharp
        else:
            clock = "wall"
    single = [
        np.array(c.latencies) / reference_at(np.array([c.middle]), references) for c in candidates
    ]
    seen = np.concatenate(single)
    # Over the network's own median: by another clock, or against a mean, a p95 would end up on
    # another scale than the ratio it stands beside, even below it.
    p90, p95, p99 = ratio.value * np.quantile(seen, [0.90, 0.95, 0.99]) / np.median(seen)
    levels = [r.level for r in references]
    cpu = [r.mean("cpu") for r in references] if all(r.cpu for r in references) else []
    waits = [r.mean("wall") / c for r, c in zip(references, cpu)]
    used = [len(c.latencies) * keep for c, keep in zip(candidates, ratio.used)]
    return Estimate(
        ratio=ratio,
        clock=clock,
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        raw_s=statistics.median([x for c in candidates for x in c.latencies]),
        runs=sum(used),
        reference_s=statistics.median(levels),
        reference_quiet_s=float(np.quantile(levels, 0.25)),
        reference_cpu_s=statistics.median(cpu) if cpu else None,
        reference_wait=float(np.quantile(waits, 0.1)) if cpu else None,
    )


def baseline(
    quiet_ms: Sequence[float], cpu_ms: Sequence[float] = (), waits: Sequence[float] = ()
) -> float:
    """The reference's undisturbed latency (ms) in a session, one value a measurement.

    From its CPU times and how much longer it took at calm moments where both are known of every
    measurement, else from the lower quartile of its wall clock levels.
    """
    if len(cpu_ms) == len(waits) == len(quiet_ms):
        return float(np.quantile(cpu_ms, 0.25) * max(1.0, float(np.quantile(waits, 0.1))))
    return float(np.quantile(quiet_ms, 0.25))
