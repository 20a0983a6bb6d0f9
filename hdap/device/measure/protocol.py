"""Timing one network between slices of the reference: the protocol."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hdap.device.measure.estimate import Estimate, Slice, clock_of, estimate, settled
from hdap.device.messages import DeviceError, first_line
from hdap.device.runtimes.base import Runtime

SLICES = 15
MOST_SLICES = 30
WARMUP_WINDOW = 5
WARMUP_AGREE = 0.05
MOST_WARMUP_RUNS = 100
MOST_RUNS_IN_A_SLICE = 20_000
WIDE_INTERVAL = 0.10


@dataclass(frozen=True)
class Protocol:
    """At least `runs` inferences and `seconds` a measurement; `threshold` is a fraction."""

    runs: int = 50
    seconds: float = 3.0
    threshold: float = 0.05
    attempts: int = 2
    warmup_runs: int = 10
    warmup_seconds: float = 0.5

    @property
    def longest(self) -> float:
        """Seconds after which a measurement is cut short (slow devices)."""
        return max(10 * self.seconds, 1.0)


@dataclass
class Stopwatch:
    """Times calls of `run` with the clock `now` (s) and, where it tells their cost, `cpu` (s)."""

    run: Callable[[], None]
    now: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] | None = None
    warmups: int = 0
    stable: bool = False

    def slice(self, runs: int, seconds: float) -> Slice:
        """At least `runs` inferences and `seconds`, after one that only fills the caches."""
        self.run()
        latencies: list[float] = []
        worked = self.cpu() if self.cpu else 0.0
        start = last = self.now()
        while len(latencies) < MOST_RUNS_IN_A_SLICE:
            self.run()
            after = self.now()
            latencies.append(max(after - last, 1e-9))
            last = after
            if len(latencies) >= runs and last - start >= seconds:
                break
        cost = max(self.cpu() - worked, 1e-9) if self.cpu else None
        return Slice(start, tuple(latencies), cost)

    def warm_up(self, protocol: Protocol) -> None:
        """Run until two consecutive windows have medians within 5 %, or a bound is reached."""
        seen: list[float] = []
        start = last = self.now()
        while len(seen) < MOST_WARMUP_RUNS and not self.stable:
            self.run()
            after = self.now()
            seen.append(after - last)
            last = after
            if len(seen) >= max(protocol.warmup_runs, 2 * WARMUP_WINDOW):
                early = statistics.median(seen[-2 * WARMUP_WINDOW : -WARMUP_WINDOW])
                late = statistics.median(seen[-WARMUP_WINDOW:])
                agree = abs(late - early) <= WARMUP_AGREE * max(late, early)
                self.stable = agree and last - start >= protocol.warmup_seconds
                if last - start >= protocol.longest:
                    break
        # 100 runs of a very small network last less than the time asked for.
        while last - start < protocol.warmup_seconds and len(seen) < MOST_RUNS_IN_A_SLICE:
            self.run()
            after = self.now()
            seen.append(after - last)
            last = after
            self.stable = True
        self.warmups = len(seen)


def stopwatch(runtime: Runtime, path: str, shape: Sequence[int]) -> Stopwatch:
    """Opens the network of a file and runs it once; raises `DeviceError`."""
    network = runtime.open(path)
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def run() -> None:
        network.run(image)

    try:
        run()
    except Exception as error:  # a runtime's own, of any kind
        raise DeviceError(
            f"{os.path.basename(path)} must run on {runtime.where}, but {first_line(error)[:300]}"
        ) from error
    return Stopwatch(run, cpu=time.thread_time if runtime.thread_time_tells else None)


def interleave(
    candidate: Stopwatch,
    reference: Stopwatch,
    protocol: Protocol,
    between: Callable[[], None] = lambda: None,
) -> tuple[list[Slice], list[Slice]]:
    """Slices of `candidate` with one more of `reference` around them; `between` samples context."""
    start = candidate.now()
    share = protocol.seconds / SLICES
    runs = math.ceil(protocol.runs / SLICES)
    references = [reference.slice(2, share)]
    candidates: list[Slice] = []
    while len(candidates) < MOST_SLICES:
        # As long as the reference's slices: both then meet the same share of other load.
        candidates.append(candidate.slice(runs, max(share, 2 * references[-1].level)))
        between()
        references.append(reference.slice(2, share))
        clock = clock_of([*candidates, *references])
        calm = settled(references, protocol.threshold, clock)
        total = sum(len(c.latencies) * ok for c, ok in zip(candidates, calm))
        if sum(calm) >= SLICES and total >= protocol.runs:
            break
        if len(candidates) >= 3 and candidate.now() - start > protocol.longest:
            break
    return candidates, references


def measure_one(
    candidate: Stopwatch,
    reference: Stopwatch,
    protocol: Protocol,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
) -> tuple[Estimate, int]:
    """Measure a network against the reference; the estimate and how many attempts it took.

    Where the reference did not hold still, the measurement is repeated at most
    `protocol.attempts - 1` times, and the attempt with the narrowest interval is kept.
    """
    candidate.warm_up(protocol)
    found: list[Estimate] = []
    for attempt in range(max(1, protocol.attempts)):
        slices, references = interleave(candidate, reference, protocol, between)
        found.append(estimate(slices, references, protocol.threshold, seed + attempt))
        if found[-1].ratio.enough:
            break
    good = [e for e in found if e.ratio.enough] or found
    return min(good, key=lambda e: e.ratio.width), len(found)


def marks(result: Estimate, candidate: Stopwatch, protocol: Protocol) -> str:
    """Why a row is suspicious, joined by `;`; empty where it is not."""
    why = [] if result.ratio.enough else ["reference-moved"]
    if not candidate.stable:
        why.append("warm-up-unstable")
    if result.runs < protocol.runs:
        why.append("few-runs")
    if result.ratio.width > WIDE_INTERVAL:
        why.append("wide-interval")
    return ";".join(why)
