"""The whole loop proved on this machine: what was promised, pruned, exported and then measured.

    python -m benchmarks.proof.whole_loop [--quick] [--work FOLDER] [--again]
        [--redraw] [--out docs/pictures]

One machine plays four kinds of devices (see `benchmarks.proof.conditions`); every latency is timed
by ONNX Runtime. Dense telemetry is ingested into a fresh database and clustered; a space-filling
batch is planned, exported and measured; surrogates are fitted and searched; the short list is
measured and all is fitted again, some rounds long. Last, the dense network, uniform pruning (any
width, multiples of 8, and the best of all grids) and what the searches of several seeds found are
exported with their weights and measured in one run under each condition.

Takes about 25 minutes on a quiet machine (--quick: ResNet-18, 4 minutes) and needs a writable
cgroup CPU controller. Stopped, it goes on where it was when started again with the same --work
(build/proof); --again measures the final networks anew. Writes proof.csv, .svg and .png; --redraw
draws what is there.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import polars as pl

from benchmarks.proof.bound import fastest_s, layers_of
from benchmarks.proof.conditions import CONDITIONS, Quotas, cores, devices
from benchmarks.proof.loop import (
    DENSE,
    OURS,
    QUICK,
    UNIFORM,
    Loop,
    Settings,
)
from benchmarks.proof.picture import draw
from benchmarks.proof.table import figures, markdown, verdict
from hdap.fleet_data.store import Store
from hdap.networks.criteria import Evidence
from hdap.networks.prune_plan import WeightsSource, plan_from_channels
from hdap.networks.pruned_network import prune_planned
from hdap.networks.tracing import trace

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SURGERIES = 5


def main() -> None:
    options = _options()
    out = options.out or (options.work if options.quick else PICTURES)
    file = out / "proof.csv"
    if not options.redraw:
        table = _run(options)
        out.mkdir(parents=True, exist_ok=True)
        table.write_csv(file, float_precision=6)
    table = pl.read_csv(file)
    print(markdown(table))
    print("\n".join(verdict(table)))
    draw(table, out / "proof")
    print(f"written: {file}, .svg, .png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small network, little measured")
    parser.add_argument("--work", type=Path, default=Path("build/proof"), help="kept between runs")
    parser.add_argument("--again", action="store_true", help="measure the final networks anew")
    parser.add_argument("--redraw", action="store_true", help="draw the figures that are there")
    parser.add_argument("--out", type=Path, help="docs/pictures; of --quick the --work folder")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> pl.DataFrame:
    settings = QUICK if options.quick else Settings()
    quotas = Quotas()
    conditions = [c for c in CONDITIONS if c.quota == 1.0 or not quotas.obstacle]
    if quotas.obstacle:
        say(
            f"no CPU quota can be given here ({quotas.obstacle}): only the machine as it is will "
            "be measured; run as root where the cgroup CPU controller is writable"
        )
    if cores()[1] is None:
        conditions = [c for c in conditions if not c.traffic]
        say("there is one core, so no condition with memory traffic from another")
    if options.again:
        for measured in options.work.glob("final/measured-*"):
            measured.unlink()
    options.work.mkdir(parents=True, exist_ok=True)
    fleet = devices(conditions, settings.devices, limited=not quotas.obstacle)
    with Store.open(f"sqlite:///{options.work / 'hdap.db'}") as store:
        loop = Loop(settings, options.work, store, fleet, quotas, say)
        if not loop.chosen:
            _learn(loop)
        networks = loop.networks()
        _surgery(settings.model, networks[-1].channels)
        files = loop.prove(networks)
        limit = bound(loop.network_files(networks))
    by_condition = dict(zip([c.name for c in conditions], files, strict=True))
    return figures(
        networks, conditions, by_condition, {"model": settings.model, **machine(), **limit}
    )


def _learn(loop: Loop) -> None:
    loop.telemetry()
    for number in range(loop.settings.rounds + 1):
        loop.learn(number)
        loop.fit()
        last = number == loop.settings.rounds
        for seed in range(loop.settings.seeds if last else 1):
            loop.search(number, seed)


def _surgery(model: str, channels: str) -> None:
    plan = plan_from_channels(trace(model), channels)
    seconds = [
        prune_planned(plan, WeightsSource(), "l2", Evidence()).seconds for _ in range(SURGERIES)
    ]
    say(f"pruning surgery of {model}: {statistics.median(seconds):.2f} s (median of {SURGERIES})")


def bound(files: Mapping[str, Path]) -> dict[str, float]:
    """What the machine's kernels allow a network of as many FLOPs as ours has, as speed-ups."""
    core, _ = cores()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        timed = {name: layers_of(file) for name, file in files.items()}
    finally:
        os.sched_setaffinity(0, before)
    best = fastest_s(timed.values(), sum(timed[OURS].macs))
    return {
        "best_gmacs": max(layers.best_rate for layers in timed.values()) / 1e9,
        "fastest_over_dense": timed[DENSE].total_s / best,
        "fastest_over_uniform": timed[UNIFORM].total_s / best,
    }


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    lines = (
        Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    )
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else "unknown",
        "cores": str(os.cpu_count()),
        "runtime": f"ONNX Runtime {metadata.version('onnxruntime')}, CPU, 1 thread, batch 1",
        "measured_on": datetime.now(UTC).date().isoformat(),
        "load_average": f"{os.getloadavg()[0]:.1f}",
    }


STARTED = time.monotonic()


def say(message: str) -> None:
    """One line with the minutes that have passed."""
    print(f"[{(time.monotonic() - STARTED) / 60:5.1f} min] {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
