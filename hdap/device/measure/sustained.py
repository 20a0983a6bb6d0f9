"""Running without rest until a device is hot: its latency in the first minute and in the last.

The protocol of a bundle takes heat out of a measurement, by ratios to a reference that is as hot.
This one measures it: the dense network runs all the time, and the wall clock counts, because that
is what a clock that went down does to whoever waits.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from hdap.device.measure.bundle_manifest import BundleManifest
from hdap.device.measure.context import ContextSampler
from hdap.device.measure.protocol import Stopwatch
from hdap.device.measure.results_file import number_text, ran_by
from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import Runtime
from hdap.device.sensors import CONTEXT

WINDOW = 60.0
"""Seconds at both ends; of a short run a quarter of it."""
LEAST = 4.0
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
COLUMNS = (
    *("device_id", "timestamp", "model", "channels", "latency_ms", "latency_p95_ms", "runs"),
    *("batch_size", "runtime", "precision", "threads", "instruction_set", *CONTEXT, "sustained_s"),
)


@dataclass(frozen=True)
class Window:
    """Latencies (s) of a stretch that began `start` seconds after the first inference."""

    start: float
    latencies: tuple[float, ...]
    context: dict[str, float]

    @property
    def median_ms(self) -> float:
        """Median latency."""
        return 1000 * statistics.median(self.latencies)

    @property
    def p95_ms(self) -> float:
        """The latency that 95 % of the inferences do not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(math.ceil(0.95 * len(ordered)), len(ordered)) - 1]


def duration(text: str) -> float:
    """Seconds of `20m`, `90s`, `1h` or `90`."""
    unit = UNITS.get(text[-1:], 0.0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= LEAST):
        raise argparse.ArgumentTypeError(f"must be at least {LEAST:g}s, as 20m or 90s, got {text}")
    return seconds


def run_without_rest(
    watch: Stopwatch,
    seconds: float,
    sample: Callable[[], dict[str, float]],
    show: Callable[[str], None] = lambda _: None,
) -> tuple[Window, Window]:
    """The first and the last window of `seconds` of uninterrupted inference."""
    length = min(WINDOW, seconds / 4)
    begin = last = watch.now()
    first: Window | None = None
    # Of the stretch that may be the last: when each inference ended, and how long it took.
    recent: deque[tuple[float, float]] = deque()
    told = length
    while last - begin < seconds:
        watch.run()
        after = watch.now()
        recent.append((after - begin, max(after - last, 1e-9)))
        last = after
        while recent[-1][0] - recent[0][0] > length:
            recent.popleft()
        if last - begin >= told:
            median = 1000 * statistics.median(took for _, took in recent)
            show(f"{last - begin:.0f} of {seconds:.0f} s: {median:.2f} ms")
            told += length
            if first is None:
                first = _window(recent, sample())
                last = watch.now()  # reading sensors is no inference
    final = _window(recent, sample())
    if first is None or final.start < first.start + sum(first.latencies):
        raise DeviceError(
            f"a run of {seconds:g} s must hold two windows of {length:g} s one after the other, "
            "but an inference takes too long for that; give a longer --sustained"
        )
    return first, final


def _window(recent: deque[tuple[float, float]], context: dict[str, float]) -> Window:
    latencies = tuple(took for _, took in recent)
    return Window(max(recent[0][0] - latencies[0], 0.0), latencies, context)


def report(first: Window, last: Window) -> str:
    """What the two say, in a line."""
    ratio = last.median_ms / first.median_ms
    word = "slower" if ratio >= 1 else "faster"
    return (
        f"first {len(first.latencies)} runs {first.median_ms:.2f} ms, after {last.start:.0f} s "
        f"{last.median_ms:.2f} ms: {max(ratio, 1 / ratio):.2f}x {word}"
    )


def measure_sustained(
    watch: Stopwatch,
    manifest: BundleManifest,
    runtime: Runtime,
    device: str,
    seconds: float,
    path: str,
    show: Callable[[str], None],
) -> str:
    """Run, append two rows to the file `path`; the report."""
    _append(path, [])  # what cannot be written is said before the long run
    context = ContextSampler()

    def sample() -> dict[str, float]:
        context.sample()
        return context.summary()

    began = datetime.now(timezone.utc)
    windows = run_without_rest(watch, seconds, sample, show)
    _append(path, [_row(window, manifest, runtime, device, began) for window in windows])
    return report(*windows)


def _append(path: str, rows: Sequence[dict[str, str]]) -> None:
    """Add rows to a CSV, with its header where it is new."""
    try:
        fresh = not os.path.exists(path) or os.path.getsize(path) == 0
        with open(path, "a+", encoding="utf-8", newline="") as file:
            file.seek(0)
            if not fresh and file.readline().strip() != ",".join(COLUMNS):
                raise DeviceError(f"{path} holds rows of another kind; name another with --out")
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise DeviceError(
            f"{path} cannot be written: {error.strerror}; free space, or name another with --out"
        ) from None


def _row(
    window: Window, manifest: BundleManifest, runtime: Runtime, device: str, began: datetime
) -> dict[str, str]:
    taken = began + timedelta(seconds=window.start)
    row = {name: number_text(window.context.get(name)) for name in CONTEXT}
    return {
        **row,
        "device_id": device,
        "timestamp": taken.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "model": manifest.model,
        "channels": "",
        "latency_ms": number_text(window.median_ms),
        "latency_p95_ms": number_text(window.p95_ms),
        "runs": str(len(window.latencies)),
        **ran_by(runtime, manifest.input_shape[0]),
        "sustained_s": f"{window.start:.0f}",
    }
