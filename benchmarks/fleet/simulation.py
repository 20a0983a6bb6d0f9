"""The simulated fleet: how well its law fits what was measured, and how fast it writes.

    python -m benchmarks.fleet.simulation --calibrate  # fit again and rewrite the shipped constants
    python -m benchmarks.fleet.simulation              # fit on held-out configurations, and speed

The constants in `hdap/simulation/calibrated.json` come from the first command.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.fleet.measured_fleets import FLEETS, MICROFLEETS, traced
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.calibrated import Calibration, calibrated
from hdap.simulation.calibration import START, calibrate
from hdap.simulation.fleet_folder import write_fleet
from hdap.simulation.measured import KINDS, MeasuredFleet, read_measured
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "hdap" / "simulation" / "calibrated.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calibrate", action="store_true", help="fit again and write constants")
    parser.add_argument("--devices", type=int, default=50_000, help="devices of the speed test")
    options = parser.parse_args()
    if options.calibrate:
        found = calibrate([measured(model) for model in MICROFLEETS])
        found.write(TARGET)
        print(f"wrote {TARGET.relative_to(ROOT)}")
    else:
        found = calibrated()
    show_fit(found)
    if options.calibrate:
        show_blocks()
    show_staircase(found)
    if not options.calibrate:
        show_noise()
        show_speed(options.devices)


def measured(model: str) -> MeasuredFleet:
    return read_measured(FLEETS[model], traced(model))


def show_fit(found: Calibration) -> None:
    share = f"{found.held_out_share:.0%}"
    print(f"\nFit on held-out configurations ({share} of them, seed {found.seed}); one law for all")
    print(f"{'model':<16} {'kind':<11} {'rows':>5} {'error':>7} {'centred':>8} ", end="")
    print(f"{'FLOPs only':>11} {'Spearman':>9}")
    for fit in found.fits:
        print(f"{fit.model:<16} {fit.kind:<11} {fit.rows:>5} {fit.error:>7.1%} ", end="")
        print(f"{fit.centred:>8.1%} {fit.flops_error:>11.1%} {fit.spearman:>9.3f}")
    print("log(measured / predicted) at 5, 25, 50, 75, 95 %:")
    for model, values in found.residual_quantiles.items():
        print(f"  {model:<16}" + "".join(f"{value:>+8.3f}" for value in values))
    print("noise: scatter of a report, drift, spikes, 95th percentile above the median")
    for kind, noise in found.noise.items():
        print(f"  {kind:<11} {noise.scatter:>6.1%} {noise.drift:>6.1%} ", end="")
        print(f"{noise.spike_rate:>6.1%} of {noise.spike:.0%} {noise.tail:>6.1%}")


def show_blocks() -> None:
    """Is there a staircase, and how wide are its steps: the same fit with other blocks."""
    print("\nHeld-out error by the block to which output channels are rounded up (no penalties")
    print("for what fills no block; mean over kinds)")
    plain = {"block_penalty": 1e-5, "pack_penalty": 1e-5, "input_penalty": 1e-5}
    fleets = [measured(model) for model in MICROFLEETS]
    for block in (1, 4, 8, 16, 32):
        start = replace(START, block=block, pack=min(block, 4), **plain)
        fits = calibrate(fleets, start=start).fits
        errors = (np.mean([x.error for x in fits if x.model == model]) for model in MICROFLEETS)
        print(f"  block {block:>2}: " + "  ".join(f"{error:.2%}" for error in errors))


def show_noise() -> None:
    """The dense model on the bundled devices beside as many rows of the simulated fleet."""
    network = traced("resnet50")
    fleet = draw_fleet(preset("microfleet", 400))
    frame = pl.concat(simulate_telemetry(fleet, [network], TelemetryPlan(rows_per_device=20)))
    real = measured("resnet50")
    print(
        "\nNoise of the dense ResNet-50: deviation from the device's median (robust; percentiles 1"
    )
    print("and 99); of all rows: 95th percentile of the runs over their median (50, 90, 99 %)")
    for number, kind in enumerate(KINDS):
        kinds = real.kinds == number
        rows = real.dense & kinds
        tail = (real.p95_ms / real.latency_ms)[kinds]
        noise_line(kind, "measured", real.device[rows], real.latency_ms[rows], tail)
        mine = np.repeat(fleet.kind == number, 20)
        latency, p95 = (frame[n].to_numpy()[mine] for n in ("latency_ms", "latency_p95_ms"))
        device = np.repeat(np.arange(400), 20)[mine]
        noise_line(kind, "simulated", device, latency, p95 / latency)


def noise_line(kind: str, what: str, device: Ints, latency: Floats, tails: Floats) -> None:
    error = np.log(latency)
    for one in np.unique(device):
        error[device == one] -= np.median(error[device == one])
    low, high = np.quantile(error, [0.01, 0.99])
    tail = " ".join(f"{x - 1:>6.1%}" for x in np.quantile(tails, [0.5, 0.9, 0.99]))
    spread = 1.4826 * float(np.median(np.abs(error)))
    print(f"  {kind:<11} {what:<10} {spread:>6.1%} {low:>+7.1%} {high:>+7.1%}   {tail}")


def show_staircase(found: Calibration) -> None:
    network = traced("resnet50")
    group = network.index["layer1.0.conv2"]
    channels = np.arange(40, 65)
    counts = np.tile(network.widths, (len(channels), 1))
    counts[:, group] = channels
    latency = found.law.profile(network, counts).quiet_ms
    print("\nStaircase: predicted ms of ResNet-50 when layer1.0.conv2 keeps so many channels")
    chosen = (40, 44, 47, 48, 49, 52, 56, 60, 63, 64)
    print("  " + "  ".join(f"{c}: {latency[c - 40]:.2f}" for c in chosen))


def show_speed(devices: int) -> None:
    network = traced("resnet50")
    plan = TelemetryPlan(broken_share=0.001)
    print("\nSimulated telemetry, rows a second (20 rows a device, 0.1 % broken on purpose)")
    for name in PRESETS:
        for format in ("csv", "csv.gz", "parquet"):
            with tempfile.TemporaryDirectory() as folder:
                spec = replace(preset(name, devices), seed=1)
                report = write_fleet(Path(folder), spec, [network], plan, format)
            print(f"  {name:<11} {format:<8} {report.rows / report.seconds:>12,.0f}")


if __name__ == "__main__":
    main()
