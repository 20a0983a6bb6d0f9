"""Each level of an elastic network against a network pruned and trained for that size alone.

    python -m benchmarks.elastic.accuracy [--task digits|fashion] [--seeds 5] [--jobs 2] [--keep]

Real data: scikit-learn's digits with `small_resnet` (450 images judge), or Fashion-MNIST with
`fashion_resnet` (10,000 judge); five uniform levels. A seed trains one dense network; from it start
a network a level, pruned by the same scores and trained alone for the task's epochs, and one
elastic network a mode, at the same rate. All train as many levels for as many epochs as the five
networks alone: `nested` 5/4 of those epochs (of two: two), because a step trains four levels,
`masked` as long after its masks are learned, `incremental` all of them a level. Differences are
paired by seed; the interval is Student's, 95 %.

Writes elastic-accuracy.csv (every figure; of photographs elastic-accuracy-fashion.csv) after each
seed, .svg and .png at the end. A seed of photographs takes most of an hour.
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from scipy import stats
from torch import nn

from benchmarks.elastic.picture import draw_accuracy
from benchmarks.quality.frontier_plan import DENSE_RECIPE, TUNING_RECIPE
from hdap.elastic.elastic_training import train_elastic
from hdap.elastic.levels import Levels, uniform_levels
from hdap.elastic.modes import BETWEEN, MASK_SHARE
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest, load_seeded
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import MODES, ElasticTraining
from hdap.training.datasets import Data
from hdap.training.load_data import load_data
from hdap.training.network_quality import evaluate
from hdap.training.training_loop import train
from hdap.training.training_session import TrainingWatch

BUDGETS = ("10%", "25%", "50%", "75%", "100%")
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


@dataclass(frozen=True)
class Task:
    """`dense` trains the network that all ways start from, `tuning` each level alone."""

    model: str
    data: str
    dense: Recipe
    tuning: Recipe
    stem: str


TASKS = {
    "digits": Task(
        "hdap.examples.networks:small_resnet",
        "hdap.examples.digits:digits",
        Recipe(epochs=10, lr=0.05),
        Recipe(epochs=15, lr=0.05, recalibration=10),
        "elastic-accuracy",
    ),
    "fashion": Task(
        "hdap.examples.networks:fashion_resnet",
        "hdap.examples.fashion:fashion_plain",
        replace(DENSE_RECIPE, epochs=5),
        replace(TUNING_RECIPE, epochs=2),
        "elastic-accuracy-fashion",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="seeds at once, one thread each")
    parser.add_argument("--keep", action="store_true", help="train no seed that the csv has")
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    task = TASKS[options.task]
    file = options.out / f"{task.stem}.csv"
    frames = [pl.read_csv(file)] if options.keep and file.exists() else []
    kept = set(frames[0]["seed"]) if frames else set()
    missing = [seed for seed in range(options.seeds) if seed not in kept]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=spawn) as pool:
        for frame in pool.map(partial(one_seed, task), missing):
            frames.append(frame)
            pl.concat(frames).sort("seed", maintain_order=True).write_csv(file)
    found = pl.read_csv(file)
    figures = differences(found)
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(figures)
    worst = float(figures["points"].to_numpy().min())
    print(f"worst mean difference of any level and mode: {worst:+.2f} points (target: -1.00)")
    draw_accuracy(found, options.out / task.stem)
    print(f"written: {file}, .svg, .png")


def one_seed(task: Task, seed: int) -> pl.DataFrame:
    """Accuracy of every way at every level: seed, way, level, flops share, accuracy."""
    torch.set_num_threads(1)
    data, levels = load_data(task.data), uniform_levels(trace(task.model), BUDGETS)
    dense = load_seeded(task.model, WeightsSource(seed=seed)).module
    train(dense, data, replace(task.dense, seed=seed), device="cpu")
    recipe = replace(task.tuning, seed=seed)
    ways = {"alone": alone(dense, levels, data, recipe)}
    for mode in MODES:
        wanted = ElasticTraining(Path(), task.data, recipe, mode=mode)
        ways[mode] = elastic(dense, levels, data, wanted)
        print(
            f"seed {seed} {mode}: {_shown(ways[mode])} (alone {_shown(ways['alone'])})", flush=True
        )
    share = levels.flops / levels.flops[-1]
    return pl.DataFrame(
        [
            {"seed": seed, "way": way, "level": i, "flops": share[i], "accuracy": value}
            for way, values in ways.items()
            for i, value in enumerate(values)
        ]
    )


def alone(dense: nn.Module, levels: Levels, data: Data, recipe: Recipe) -> list[float]:
    """A network a level, each trained for all epochs."""
    scores = lookahead_scores(dense, levels.architecture)
    found = []
    for counts in levels.counts:
        network = prune(dense, levels.architecture, counts, scores)
        train(network, data, recipe, device="cpu")
        found.append(evaluate(network, data.validation).accuracy)
    return found


def elastic(dense: nn.Module, levels: Levels, data: Data, wanted: ElasticTraining) -> list[float]:
    """All levels of one network, trained together; the recipe's epochs are those of one level."""
    recipe = wanted.recipe
    together = round(recipe.epochs * len(levels) / min(len(levels), 2 + BETWEEN))
    epochs = {
        "nested": together,
        "masked": round(together / (1 - MASK_SHARE)),
        "incremental": recipe.epochs * len(levels),
    }
    recipe = replace(recipe, epochs=epochs[wanted.mode])
    base = dense_manifest(levels.architecture, dense, WeightsSource(seed=recipe.seed))
    with tempfile.TemporaryDirectory() as folder:
        wanted = replace(wanted, out=Path(folder) / "out", recipe=recipe)
        done = train_elastic(dense, base, levels, data, wanted, TrainingWatch())
    return [quality.accuracy for quality in done.qualities]


def differences(found: pl.DataFrame) -> pl.DataFrame:
    """For each mode and level the mean accuracy and the paired difference from training alone."""
    trained = found.filter(pl.col("way") == "alone").select(
        "seed", "level", pl.col("accuracy").alias("alone")
    )
    pairs = found.filter(pl.col("way") != "alone").join(trained, on=("seed", "level"))
    rows = []
    for key, part in pairs.group_by("way", "level", maintain_order=True):
        points = 100 * (part["accuracy"] - part["alone"]).to_numpy()
        half = _half_interval(points)
        rows.append(
            {
                "mode": str(key[0]),
                "level": key[1],
                "FLOPs %": round(100 * float(part["flops"][0]), 1),
                "accuracy %": round(100 * float(part["accuracy"].to_numpy().mean()), 2),
                "alone %": round(100 * float(part["alone"].to_numpy().mean()), 2),
                "points": round(float(points.mean()), 2),
                "low": round(float(points.mean() - half), 2),
                "high": round(float(points.mean() + half), 2),
            }
        )
    return pl.DataFrame(rows)


def _half_interval(points: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    count = len(points)
    if count < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, count - 1) * points.std(ddof=1) / count**0.5)


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{100 * value:.1f}" for value in values)


if __name__ == "__main__":
    main()
