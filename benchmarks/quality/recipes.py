"""Which recipe loses least at equal cost of training, on photographs?

    python -m benchmarks.quality.recipes [--work build/recipes] [--seeds 3] [--quick]

The ResNet of `benchmarks.quality.frontier` is trained, pruned to uniform widths in multiples of 8
at a share of its FLOPs, and tuned in ways that all cost what the plain one does: the passes forward
and backward of every image, in FLOPs, a teacher's passes forward counted. So steps, whose networks
are wider, and teachers see fewer images. Ways are compared with the plain one, paired over seeds,
with 95 % intervals (Student's t).

One process of one thread; stopped, it goes on where it was when started again with the same --work.
--quick tries in minutes whether it runs.
"""

import argparse
import re
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.quality.figures import words
from benchmarks.quality.frontier_plan import DENSE, TUNING_RECIPE, Cell, Work, model_of
from benchmarks.quality.frontier_plan import Settings as FrontierSettings
from benchmarks.quality.frontier_training import dense_network, photographs, run_cell
from benchmarks.quality.recipe_ways import PLAIN, WAYS, Budget, Start, Way, tuned
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.networks.tracing import trace
from hdap.training.network_quality import evaluate

NETWORK = "fashion_resnet"
GRID = 8


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    settings = FrontierSettings(networks=(NETWORK,), seeds=options.seeds, dense_epochs=3)
    if options.quick:
        settings = replace(settings, images=2_048, judged=1_000, dense_epochs=1, seeds=2)
    work = Work(options.work)
    work.begin(settings, {"share": options.share, "tuned_images": options.images})
    images = min(options.images, settings.images)
    for seed in range(settings.seeds):
        _seed(seed, settings, work, Budget(options.share, images))
        print(_table(work, seed + 1), flush=True)


def _seed(seed: int, settings: FrontierSettings, work: Work, budget: Budget) -> None:
    dense = Cell(NETWORK, seed)
    if work.read(f"trained/{dense.name}") is None:
        print(run_cell(dense, settings, work, 1), flush=True)
    architecture = trace(model_of(NETWORK))
    data = photographs(settings.images, settings.judged)
    for way in WAYS:
        name = _file(seed, way)
        if work.read(name) is not None:
            continue
        began, processor = time.monotonic(), time.process_time()
        start = Start(dense_network(NETWORK, seed, work), architecture, data, seed)
        goals = [uniform(architecture, budget.share_after(k, way)) for k in range(1, way.steps + 1)]
        network = tuned(start, goals, way, budget)
        quality = evaluate(network, data.validation)
        result = {"accuracy": quality.accuracy, "loss": quality.loss, "way": asdict(way)}
        result |= {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - processor}
        work.write(name, result)
        print(f"{name}: {100 * quality.accuracy:.2f} % in {result['seconds']:.0f} s", flush=True)


def _file(seed: int, way: Way) -> str:
    return f"recipes/{seed}-{re.sub('[^a-z0-9.]+', '-', way.name)}"


def uniform(architecture: Architecture, share: float) -> Counts:
    """The widest network on the grid, one ratio for all groups, within a share of dense FLOPs."""
    widths = architecture.widths
    ratios = np.linspace(0.02, 1.0, 500)[:, None]
    tried = np.minimum(np.maximum(np.round(widths * ratios / GRID) * GRID, GRID), widths)
    tried = tried.astype(np.int64)
    within = flops(architecture, tried) <= share * flops(architecture, widths[None])[0]
    return np.asarray(tried[np.flatnonzero(within)[-1]])


def _table(work: Work, seeds: int) -> str:
    lines = [
        "| way | tuned, % | less the plain one's, points | CPU s |",
        "| --- | --- | --- | --- |",
    ]
    found = {way.name: [work.read(_file(s, way)) for s in range(seeds)] for way in WAYS}
    plain = [row["accuracy"] for row in found[PLAIN]]
    for name, rows in found.items():
        own = [row["accuracy"] for row in rows]
        more = [a - b for a, b in zip(own, plain, strict=True)]
        less = "" if name == PLAIN else words(more, 100.0)
        seconds = np.mean([row["cpu_s"] for row in rows])
        lines.append(f"| {name} | {100 * np.mean(own):.2f} | {less} | {seconds:.0f} |")
    dense = [work.read(f"trained/{Cell(NETWORK, s).name}")["accuracy"] for s in range(seeds)]
    lines.append(f"| {DENSE} | {100 * np.mean(dense):.2f} | | |")
    return "\n".join(["", f"{seeds} seed(s), recipe {TUNING_RECIPE.lr} x cosine", *lines])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/recipes"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.25, help="of the dense FLOPs")
    parser.add_argument("--images", type=int, default=50_000, help="that the plain way learns from")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
