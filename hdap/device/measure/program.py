"""Measure the networks of an hdap bundle on this device and write a CSV of telemetry.

Usage, in the folder of the bundle:  python3 measure.pyz  (--help lists the options)

Needs Python 3.9 or later, numpy and the runtime that the bundle is made for (its README.txt names
it), nothing else: measure.pyz is one file. It may be
stopped or lose power at any time; started again, it goes on where it was.

How a number is made, so that nobody needs to doubt it:

* the bundle's batch size (mostly 1), fixed threads, the same session options for every network;
  warm-up of at least 10 runs and 0.5 s, until the medians of two consecutive windows agree;
* configurations in random order, in rounds; a measurement is some fifteen short slices, and between
  any two slices the dense network (the reference) is timed again. Heat, a changed clock or other
  load therefore move both, and the ratio of the two stays;
* with one thread on the CPU the ratio is taken on the CPU time of the thread, because that does not
  count the time in which other processes had the core; the wall clock has a veto (a network that
  waits for memory or disk is slower than its CPU time says). Elsewhere it is the wall clock;
* ratios are those of slice means, not of single runs: most short inferences slip between two time
  slices of a competing process while each long one is hit, so medians of runs are not comparable;
* slices whose two neighbouring references differ by more than a threshold are replaced; where too
  few settled ones remain, the measurement is repeated, and marked if that does not help;
* latency_ms is the ratio (the mean of the middle half of the slices, with a bootstrap interval)
  times the reference's baseline, which load that comes and goes must not move: the lower quartile
  of the reference's CPU time, times how much longer than that it took in the calmest tenth of the
  session (a CPU quota or load that never pauses is part of the device). Without a CPU clock it is
  the lower quartile of the reference's medians; --baseline-ms or the manifest go before both.
  latency_raw_ms is the plain median of the same runs by the wall clock.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Sequence

from hdap.device.checked_files import inside
from hdap.device.measure.bundle_manifest import (
    BundleEntry,
    BundleManifest,
    check_files,
    read_manifest,
)
from hdap.device.measure.context import device_identity
from hdap.device.measure.measuring_session import (
    MeasuringSession,
    ProgressLine,
    say,
    schedule,
    session_key,
)
from hdap.device.measure.protocol import Protocol, stopwatch
from hdap.device.measure.results_file import ResultsFile, contradiction, results_name
from hdap.device.measure.sustained import duration, measure_sustained
from hdap.device.messages import DeviceError
from hdap.device.one_line import end_in_a_line
from hdap.device.runtimes.base import Runtime
from hdap.device.runtimes.registry import RUNTIMES, load_runtime


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _device(text: str) -> str:
    if not 1 <= len(text) <= 128:
        raise argparse.ArgumentTypeError("must have 1 to 128 characters")
    return text


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(
        prog="measure.pyz",
        description="Measure the networks of this bundle and write a CSV for `hdap ingest`.",
        allow_abbrev=False,  # whoever passes options on must know them
    )
    add = result.add_argument
    providers = dict.fromkeys(name for one in RUNTIMES.values() for name in one.providers)
    precisions = dict.fromkeys(name for one in RUNTIMES.values() for name in one.precisions)
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    add("--bundle", default=here, help="folder of the bundle (default: where measure.pyz lies)")
    add("--runtime", help=f"{', '.join(RUNTIMES)} (default: what the bundle is made for)")
    add("--precision", help=f"{', '.join(precisions)} (default: what the bundle is made for)")
    add("--threads", type=_count, help="threads of an inference (default: those of the bundle)")
    add("--runs", type=_count, default=50, help="least inferences a measurement (default 50)")
    add("--min-seconds", type=_positive, default=3.0, help="least seconds (default 3)")
    add("--rounds", type=_count, default=1, help="how often each is measured (default 1)")
    add("--threshold", type=_positive, default=5.0, help="%% the reference may move (default 5)")
    add("--provider", help=f"{', '.join(providers)} or a full name (default: the bundle's)")
    add("--device-id", type=_device, help="default: a hash of the machine's id")
    add("--baseline-ms", type=_positive, help="the reference's latency on this device, if known")
    add("--max-seconds", type=_positive, default=math.inf, help="stop after this time")
    add(
        "--sustained", type=duration, help="run the dense network so long (20m), first minute, last"
    )
    add("--out", help="the CSV (default: measured- or sustained-DEVICE.csv in the bundle)")
    add("--seed", type=int, default=0, help="order of measuring")
    add("--list", action="store_true", help="list the networks and what is done; measure nothing")
    add("--dry-run", action="store_true", help="run each network once; write nothing")
    return result


def _list(
    manifest: BundleManifest, entries: Sequence[BundleEntry], done: set[tuple[str, str]]
) -> None:
    print("rounds done  role       file  channels")
    for entry in entries:
        count = sum(channels == entry.channels for channels, _ in done)
        print(f"{count:11d}  {entry.role:9}  {entry.file}  {entry.channels or '(dense)'}")


def _dry_run(manifest: BundleManifest, runtime: Runtime, entries: Sequence[BundleEntry]) -> None:
    for entry in entries:
        path = inside(manifest.folder, entry.file)
        level = stopwatch(runtime, path, manifest.input_shape).slice(1, 0.0).level
        print(f"{1000 * level:9.2f} ms (one run)  {entry.file}  {entry.channels or '(dense)'}")


def _made_up(device: str, manifest: BundleManifest) -> str:
    fleet = sorted(manifest.baselines)
    asked = f" (this bundle is for {', '.join(fleet)})" if fleet else ""
    return (
        f"this device is called {device}, after the machine's id; --device-id NAME gives it the "
        f"name that it has in the fleet{asked}"
    )


def _default_out(manifest: BundleManifest, device: str, kind: str) -> str:
    return os.path.join(manifest.folder, results_name(device, kind))


def _runtime(options: argparse.Namespace, manifest: BundleManifest) -> Runtime:
    """What was asked for, else what the bundle is made for; int8 is in the files and stays."""
    precision = options.precision or manifest.precision
    if precision != manifest.precision and "int8" in (precision, manifest.precision):
        raise DeviceError(
            f"--precision must be {manifest.precision}, which the networks of this bundle are in, "
            f"but got {precision}; make another bundle: hdap plan --precision {precision}"
        )
    name = options.runtime or manifest.runtime
    own = manifest.provider if name == manifest.runtime else "cpu"
    threads = options.threads or manifest.threads
    return load_runtime(name, threads, options.provider or own, precision)


def measure(options: argparse.Namespace) -> int:
    """Do what the options say; the exit status."""
    manifest = read_manifest(options.bundle)
    entries, broken = check_files(manifest)
    for wrong in broken:
        say(f"skipped: {wrong}")
    device = options.device_id or device_identity()
    kind = "sustained" if options.sustained and not options.list else "measured"
    out = options.out or _default_out(manifest, device, kind)
    runtime = _runtime(options, manifest)
    if not options.device_id and not options.dry_run:
        say(_made_up(device, manifest))
    if options.dry_run:
        _dry_run(manifest, runtime, entries)
        return int(bool(broken))
    if kind == "sustained":
        return _sustained(options.sustained, manifest, runtime, device, out)
    results = ResultsFile(out)
    if options.list and not os.path.exists(out):
        _list(manifest, entries, set())
        return int(bool(broken))
    results.open()
    try:
        mine = results.of(session_key(manifest, runtime, device))
        done = {(r["channels"], r["round"]) for r in mine}
        if options.list:
            _list(manifest, entries, done)
            return int(bool(broken))
        return _measure_rest(options, manifest, runtime, results, entries, device, done) or int(
            bool(broken)
        )
    finally:
        results.close()


def _sustained(
    seconds: float, manifest: BundleManifest, runtime: Runtime, device: str, out: str
) -> int:
    path = inside(manifest.folder, manifest.reference.file)
    watch = stopwatch(runtime, path, manifest.input_shape)
    say(measure_sustained(watch, manifest, runtime, device, seconds, out, say))
    say(f"{out}: bring it back to be ingested")
    return 0


def _measure_rest(
    options: argparse.Namespace,
    manifest: BundleManifest,
    runtime: Runtime,
    results: ResultsFile,
    entries: Sequence[BundleEntry],
    device: str,
    done: set[tuple[str, str]],
) -> int:
    order = schedule(entries, options.rounds, options.seed)
    left = [(n, e) for n, e in order if (e.channels, str(n)) not in done]
    if results.repaired:
        say(results.repaired)
    if len(left) < len(order):
        say(f"going on: {len(order) - len(left)} of {len(order)} were measured before")
    session = MeasuringSession(
        manifest=manifest,
        runtime=runtime,
        results=results,
        protocol=Protocol(options.runs, options.min_seconds, options.threshold / 100),
        device=device,
        seed=options.seed,
        fixed_ms=options.baseline_ms or manifest.baselines.get(device),
        stop_at=time.monotonic() + options.max_seconds,
        left=left,
    )
    told = None if options.baseline_ms else manifest.baselines.get(device)
    progress = ProgressLine(len(left), sys.stderr.isatty())
    remain = len(left)
    try:
        remain = session.run(progress) if left else 0
    except KeyboardInterrupt:
        progress.end()
        say("stopped; what was measured is kept, start again to go on")
        return 130
    finally:
        progress.end()
        doubt = contradiction(results.of(session.key), told)
        if doubt:
            say(doubt)
        results.finish(session.key, None if doubt else session.fixed_ms)
    if remain:
        say(f"the time is over with {remain} of {len(order)} left; start again to go on")
    marked = sum(bool(r["marked"]) for r in results.rows)
    say(f"{results.path}: {len(results.rows)} rows, {marked} marked: bring it back to be ingested")
    return int(session.failed > 0)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0, 1 (a problem), 2 (usage) or 130 (stopped)."""
    options = parser().parse_args(argv)
    with contextlib.suppress(ValueError):  # only the main thread may set a handler
        signal.signal(signal.SIGTERM, _interrupt)
    return end_in_a_line("measure", lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())
