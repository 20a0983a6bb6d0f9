"""What int8 costs a pruned network, and what training for it (`finetune --qat`) gives back.

    python -m benchmarks.quality.quantised [--work build/quantised] [--seeds 3] [--quick]

The networks of `benchmarks.quality.frontier`, pruned to uniform widths in multiples of 8 at 40 % of
their FLOPs, are tuned by one recipe with and without rounding to int8. Both are exported in int8 as
`hdap export` does, calibrated on 128 images, and file and network judge the same 10,000 images.
Differences are paired over seeds, with 95 % intervals (Student's t). One process of one thread;
stopped, it goes on where it was when started again with the same --work, which may be a folder of
the frontier: its dense networks are taken then.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch
from torch import nn

from benchmarks.quality.figures import words
from benchmarks.quality.frontier_plan import (
    NETWORKS,
    QUICK,
    TUNED,
    TUNING_RECIPE,
    Settings,
    Work,
    model_of,
)
from benchmarks.quality.frontier_training import DATA, ensured_dense, photographs
from benchmarks.quality.recipes import uniform
from hdap.networks.channel_importance import channel_importance
from hdap.networks.export_formats.base import ExportOptions
from hdap.networks.exporting import export
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.training.training_loop import train
from hdap.workflows.export_quality import (
    accuracy,
    accuracy_cost,
    judged_part,
    read_calibration_data,
)

SHARE = 0.4
FORMATS = {"onnx": ".onnx", "openvino": ".xml", "ncnn": ".param"}
WAYS = {"tuned": False, "tuned with --qat": True}


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    settings = QUICK if options.quick else Settings()
    work = Work(options.work)
    rows = []
    for seed in range(1 if options.quick else options.seeds):
        for network in options.networks:
            for way in WAYS:
                rows += _row(network, seed, way, settings, work)
            print(_table(pl.DataFrame(rows)), flush=True)


def _row(
    network: str, seed: int, way: str, settings: Settings, work: Work
) -> list[dict[str, object]]:
    name = f"quantised/{network}-{seed}-{'qat' if WAYS[way] else 'plain'}"
    found = work.read(name)
    if found is None:
        began = time.process_time()
        tuned = _tuned(network, seed, WAYS[way], settings, work)
        seconds = time.process_time() - began
        found = [
            {"network": network, "seed": seed, "way": way, "cpu_s": seconds, **one}
            for one in _judged(tuned, network, settings)
        ]
        work.write(name, found)
    return list(found)


def _tuned(network: str, seed: int, qat: bool, settings: Settings, work: Work) -> nn.Module:
    start = ensured_dense(network, seed, settings, work)
    architecture = trace(model_of(network))
    counts = uniform(architecture, SHARE)
    pruned = prune(start, architecture, counts, channel_importance(start, architecture))
    recipe = replace(TUNING_RECIPE, epochs=settings.recipe(TUNED, seed).epochs, seed=seed, qat=qat)
    data = photographs(settings.images, settings.judged)
    train(pruned.to(memory_format=torch.channels_last), data, recipe, device="cpu")
    return pruned


def _judged(tuned: nn.Module, network: str, settings: Settings) -> list[dict[str, object]]:
    model = model_of(network)
    shape = trace(model).one_input("a calibration")
    data, inputs = read_calibration_data(DATA, model, shape)
    judged = judged_part(data, settings.judged)
    before = accuracy(tuned, judged)
    found: list[dict[str, object]] = []
    for kind, suffix in FORMATS.items():
        with TemporaryDirectory() as folder:
            options = ExportOptions(precision="int8", calibration=inputs)
            done = export(tuned, shape, kind, Path(folder, f"net{suffix}"), options)
            cost = accuracy_cost(before, kind, done.files[0], judged)
            found.append({"format": kind, "float32": cost.before, "int8": cost.after})
    return found


def _table(rows: pl.DataFrame) -> str:
    lines = [
        "",
        "| network | int8 of | float32, % | int8 less float32, points | the same with --qat | "
        "--qat less without, in int8 | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    plain, rounded = (rows.filter(way=way).sort("seed") for way in WAYS)
    for network, kind in rows.select("network", "format").unique(maintain_order=True).iter_rows():
        one, other = (part.filter(network=network, format=kind) for part in (plain, rounded))
        other = other.filter(pl.col("seed").is_in(one["seed"].implode()))
        costs = [words((p["int8"] - p["float32"]).to_list(), 100.0) for p in (one, other)]
        gain = words((other["int8"] - one["int8"]).to_list(), 100.0)
        accuracy = 100.0 * float(one["float32"].to_numpy().mean())
        seconds = " and ".join(f"{float(p['cpu_s'].to_numpy().mean()):.0f}" for p in (one, other))
        lines.append(
            f"| {network} | {kind} | {accuracy:.2f} | {costs[0]} | {costs[1]} | {gain} "
            f"| {seconds} |"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/quantised"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--quick", action="store_true", help="tries whether it runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
