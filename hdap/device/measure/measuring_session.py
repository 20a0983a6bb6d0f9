"""One run over what is left to measure of a bundle."""

from __future__ import annotations

import gc
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from hdap.device.checked_files import inside
from hdap.device.measure.bundle_manifest import BundleEntry, BundleManifest
from hdap.device.measure.context import ContextSampler
from hdap.device.measure.estimate import Estimate
from hdap.device.measure.protocol import Protocol, Stopwatch, marks, measure_one, stopwatch
from hdap.device.measure.results_file import ResultsFile, Row, Session, number_text, ran_by, rescale
from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import Runtime
from hdap.device.sensors import CONTEXT, governor


def schedule(
    entries: Sequence[BundleEntry], rounds: int, seed: int
) -> list[tuple[int, BundleEntry]]:
    """(round, entry) in the order of measuring.

    The reference opens each round, the rest is shuffled. In the first round the anchors come
    before the others: they tie devices together and must be there when time runs out.
    """
    order: list[tuple[int, BundleEntry]] = []
    for number in range(1, rounds + 1):
        mixed = sorted(entries, key=lambda e: e.file)
        random.Random(f"{seed}/{number}").shuffle(mixed)
        first = ("reference", "anchor") if number == 1 else ("reference",)
        mixed.sort(key=lambda e: first.index(e.role) if e.role in first else len(first))
        order += [(number, e) for e in mixed]
    return order


@dataclass
class ProgressLine:
    """A line on stderr that tells what is done and how long the rest takes."""

    total: int
    shown: bool
    started: float = field(default_factory=time.monotonic)
    done: int = 0

    def show(self, text: str) -> None:
        if not self.shown:
            return
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done)
            left = f"  ETA {duration(seconds)}"
        width = shutil.get_terminal_size().columns - 1
        line = f"[{self.done}/{self.total}]{left}  {text}"
        sys.stderr.write("\r" + line[:width].ljust(width))
        sys.stderr.flush()

    def end(self) -> None:
        if self.shown:
            sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def say(text: str) -> None:
    """One line to the person, on stderr."""
    print(f"measure: {text}", file=sys.stderr, flush=True)


def row_of(
    manifest: BundleManifest,
    entry: BundleEntry,
    runtime: Runtime,
    result: Estimate,
    context: dict[str, float],
    extra: Row,
) -> Row:
    """The CSV row with the measurement's own quiet reference as a provisional baseline."""
    base, cpu = 1000 * result.reference_quiet_s, result.reference_cpu_s
    row = {name: number_text(context.get(name)) for name in CONTEXT}
    for name, ratio in (
        ("latency_ms", result.ratio.value),
        ("latency_p95_ms", result.p95),
        ("latency_ci_low_ms", result.ratio.low),
        ("latency_ci_high_ms", result.ratio.high),
        ("latency_p90_ms", result.p90),
        ("latency_p99_ms", result.p99),
    ):
        row[name] = number_text(ratio * base)
    return {
        **row,
        "energy_mj": "",
        "model": manifest.model,
        "channels": entry.channels,
        "role": entry.role,
        "bundle": manifest.bundle,
        "runs": str(result.runs),
        **ran_by(runtime, manifest.input_shape[0]),
        "provider": runtime.where,
        "governor": governor(),
        "latency_raw_ms": number_text(1000 * result.raw_s),
        "relative_latency": number_text(result.ratio.value),
        "baseline_ms": number_text(base),
        "reference_ms": number_text(1000 * result.reference_s),
        "reference_quiet_ms": number_text(base),
        "reference_cpu_ms": number_text(cpu and 1000 * cpu),
        "reference_wait": number_text(result.reference_wait),
        "slices": str(len(result.ratio.used)),
        "slices_used": str(sum(result.ratio.used)),
        "clock": result.clock,
        **extra,
    }


def session_key(manifest: BundleManifest, runtime: Runtime, device: str) -> Session:
    """What the rows of a bundle, measured so on a device, have in common."""
    return manifest.bundle, runtime.label, runtime.precision, device


@dataclass
class MeasuringSession:
    """One run of the program over what is left to measure."""

    manifest: BundleManifest
    runtime: Runtime
    results: ResultsFile
    protocol: Protocol
    device: str
    seed: int
    fixed_ms: float | None
    stop_at: float
    left: list[tuple[int, BundleEntry]]
    failed: int = 0

    def run(self, progress: ProgressLine) -> int:
        """Measure until nothing is left or the time is over; how many remain."""
        reference = self._stopwatch(self.manifest.reference)
        reference.warm_up(self.protocol)
        longest = 0.0
        for position, (number, entry) in enumerate(self.left):
            started = time.monotonic()
            if started + longest > self.stop_at:
                return len(self.left) - position
            progress.show(f"round {number}  {entry.channels or 'dense'}")
            progress.done += 1
            try:
                candidate = self._open(entry, reference)
            except DeviceError as problem:
                say(f"skipped: {problem}")
                self.failed += 1
                continue
            row = self._measure(entry, number, candidate, reference)
            del candidate  # its memory, before the next is opened
            # Provisional until the end: the baseline of what is known so far.
            rescale([*map(dict, self.results.of(self.key)), row], self.fixed_ms)
            self.results.append(row)
            longest = max(longest, time.monotonic() - started)
        return 0

    @property
    def key(self) -> Session:
        """Of this run."""
        return session_key(self.manifest, self.runtime, self.device)

    def _open(self, entry: BundleEntry, reference: Stopwatch) -> Stopwatch:
        if entry.role == "reference":
            return Stopwatch(reference.run, cpu=reference.cpu)
        return self._stopwatch(entry)

    def _stopwatch(self, entry: BundleEntry) -> Stopwatch:
        path = inside(self.manifest.folder, entry.file)
        return stopwatch(self.runtime, path, self.manifest.input_shape)

    def _measure(
        self, entry: BundleEntry, number: int, candidate: Stopwatch, reference: Stopwatch
    ) -> Row:
        context = ContextSampler()
        began = datetime.now(timezone.utc)
        gc.collect()
        gc.disable()
        try:
            result, attempts = measure_one(
                candidate, reference, self.protocol, self.seed, context.sample
            )
        finally:
            gc.enable()
        extra = {
            "device_id": self.device,
            "timestamp": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "round": str(number),
            "attempts": str(attempts),
            "warmup_runs": str(candidate.warmups),
            "marked": marks(result, candidate, self.protocol),
        }
        return row_of(self.manifest, entry, self.runtime, result, context.summary(), extra)
