"""What a switch of level costs, and what memory: one elastic network, reloading, all resident.

    python -m benchmarks.elastic.switch [--model resnet50] [--configurations 1000] [--side 64]

Three ways to have five levels at hand: `elastic`, views of one set of weights; `resident`, five
plain networks; `reload`, one plain network at a time, from checkpoints on the disk. Each has a
process of its own; how much its resident memory (RSS) grows is read after every level has answered
once. Then random configurations within the widest level are run, each once, at images of `side`
pixels.
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hdap.elastic.elastic_checkpoint import elastic_manifest, load_elastic
from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.levels import Levels, uniform_levels
from hdap.fleet_data.costs import flops
from hdap.networks.checkpoint import load_pruned, save_checkpoint
from hdap.networks.forward_pass import random_images
from hdap.networks.loading import load_model
from hdap.networks.manifest import channels_by_name
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest
from hdap.networks.tracing import trace

BUDGETS = ("20%", "40%", "60%", "80%", "100%")
WAYS = ("elastic", "resident", "reload")
SWITCHES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--side", type=int, default=64, help="of images that are run")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.model, options.folder, options.side)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, levels = make(options.model)
        save_levels(model, levels, options.model, folder)
        print(f"{options.model}, {len(levels)} levels of {', '.join(BUDGETS)} of its FLOPs")
        print(f"{'way':<10}{'switch, ms':>14}{'weights, MB':>14}{'more RSS, MB':>14}")
        for way in WAYS:
            print(row(way, child(way, options.model, folder, options.side)), flush=True)
    print(f"storage of all levels: {model.storage_ratio:.4f}x the dense network (target 1.02)")
    print(
        f"outputs the same after switching up and down: {same_after_switching(model, options.side)}"
    )
    print(many(model, options.configurations, options.side))


def make(name: str) -> tuple[ElasticModel, Levels]:
    """The elastic network, from a seed."""
    torch.manual_seed(0)
    network = load_model(name).module
    architecture = trace(name)
    levels = uniform_levels(architecture, BUDGETS)
    return ElasticModel(network, architecture, levels), levels


def save_levels(model: ElasticModel, levels: Levels, name: str, folder: Path) -> None:
    """A checkpoint a level, as `hdap prune` writes them, and the elastic weights."""
    base = dense_manifest(levels.architecture, model.materialise(), WeightsSource())
    for level, counts in enumerate(levels.counts):
        channels = channels_by_name(levels.architecture, counts)
        manifest = replace(base, channels=channels)
        save_checkpoint(folder / str(level), model.materialise(level), manifest)
    elastic = elastic_manifest(base, levels, "nested", 1)
    save_checkpoint(folder / "elastic", model, elastic)


def child(way: str, model: str, folder: Path, side: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.elastic.switch", "--way", way]
    command += ["--model", model, "--folder", str(folder), "--side", str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@torch.no_grad()
def measure(way: str, name: str, folder: Path, side: int) -> dict[str, float]:
    """Median milliseconds of a switch, bytes of weights and of resident memory."""
    torch.set_num_threads(1)
    count, named = len(BUDGETS), name if ":" in name else None
    # Whatever loading a network brings along is there before.
    load_pruned(folder / "0", model=named)
    before = resident_bytes()
    held: list[nn.Module]
    if way == "elastic":
        model = load_elastic(folder / "elastic", model=named)

        run: Callable[[int], nn.Module] = partial(at_level, model)
        repeats, held = SWITCHES, [model]
    elif way == "resident":
        held = [load_pruned(folder / str(i), model=named) for i in range(count)]
        run, repeats = held.__getitem__, SWITCHES
    else:
        run = partial(load_level, folder, named)
        repeats, held = 2 * count, [load_pruned(folder / str(count - 1), model=named)]
    gc.collect()
    times = []
    for switch in range(repeats):
        started = time.perf_counter()
        network = run(switch * 2 % count)
        times.append(1e3 * (time.perf_counter() - started))
        if switch < count:
            network(random_images(network, (3, side, side), 1, seed=0))
        del network
    gc.collect()
    weights = sum(t.numel() * t.element_size() for n in held for t in n.state_dict().values())
    return {
        "ms": float(np.median(times)),
        "weights": float(weights),
        "rss": resident_bytes() - before,
    }


def at_level(model: ElasticModel, level: int) -> nn.Module:
    """The elastic network at a level."""
    model.set_level(level)
    return model


def load_level(folder: Path, named: str | None, level: int) -> nn.Module:
    """The plain network of a level, from the disk."""
    return load_pruned(folder / str(level), model=named)


def resident_bytes() -> float:
    """Memory of this process that is in RAM, once freed memory is given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(x.split()[1]) for x in lines if x.startswith("VmRSS"))


def row(way: str, found: dict[str, float]) -> str:
    """A line of the table."""
    return (
        f"{way:<10}{found['ms']:>14.4f}{found['weights'] / 1e6:>14.1f}{found['rss'] / 1e6:>14.0f}"
    )


@torch.no_grad()
def same_after_switching(model: ElasticModel, side: int) -> bool:
    """Whether every level answers, bit for bit, as it did before others were set."""
    images = random_images(model, (3, side, side), 1, seed=0)
    up = list(range(len(model.levels)))
    answers: dict[int, list[torch.Tensor]] = {level: [] for level in up}
    for level in (*up, *reversed(up)):
        model.set_level(level)
        answers[level].append(model(images))
    return all(torch.equal(first, second) for first, second in answers.values())


@torch.no_grad()
def many(model: ElasticModel, count: int, side: int) -> str:
    """Run random configurations; says how many ran and how many differ in FLOPs and outputs."""
    rng, architecture = np.random.default_rng(0), model.architecture
    places = architecture.widths // architecture.multiples
    rows = np.unique(
        rng.integers(1, places + 1, (count, len(places))) * architecture.multiples, axis=0
    )
    images = random_images(model, (3, side, side), 1, seed=0)
    outputs, switches, ran = set(), [], 0
    for counts in rows:
        started = time.perf_counter()
        model.set_configuration(counts)
        switches.append(1e3 * (time.perf_counter() - started))
        output = model(images)
        if tuple(output.shape) == (1, 1000) and bool(torch.isfinite(output).all()):
            ran += 1
            outputs.add(output.numpy().tobytes())
    return (
        f"{len(rows)} distinct random configurations: {ran} ran, "
        f"{len(outputs)} distinct outputs, "
        f"{len(np.unique(flops(architecture, rows)))} distinct FLOPs; "
        f"any of them is set in {np.median(switches):.1f} ms"
    )


if __name__ == "__main__":
    main()
