"""Variants of a portfolio against training them, and against what deleting zero filters gives.

    python -m benchmarks.portfolio.build train --network vgg [--seeds 5] [--jobs 2] [--work FOLDER]
    python -m benchmarks.portfolio.build train --network resnet
    python -m benchmarks.portfolio.build train --network fashion --seeds 2
    python -m benchmarks.portfolio.build measure
    python -m benchmarks.portfolio.build redraw

Real data: scikit-learn's digits at 16 x 16 pixels, 450 to judge by, or Fashion-MNIST (`fashion`: a
network that takes minutes to train, 10,000 images to judge by); a fifth of the rest is held out of
training and decides wherever something is chosen. `train` makes, for each seed, one dense
network and sparse levels of it (half of the weights a level: eight end at the 0.4 % at which
DNNShifter's 25 levels of 20 % end), and from the levels these ways:

- `sparse`: the sparsest level at most a point below dense on held-out images, as dense tensors;
- `zero filters`: the same without filters that are all zero, as DNNShifter makes it;
- `exact`: the same through `densify`, in multiples of 8: computes what the sparse one does;
- `slim`: from the sparsest level that is as good as dense on held-out images, nearly empty channels
  gone too and a brief tuning after; five budgets are tried, from the largest down, as long as the
  result is as good on held-out images as the sparse way (of residual networks: as dense);
- `alone`: a network of the counts of `slim` trained from random weights as long as the dense one.

`measure` times all of them in ONNX Runtime on one thread, in turns, so it needs a quiet machine;
surgery is timed there too. Writes portfolio.csv, .svg and .png; what the csv holds of networks that
are not in the folder stays.
"""

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import torch
from torch import nn

from benchmarks.portfolio.networks import TASKS
from benchmarks.portfolio.picture import draw
from benchmarks.portfolio.table import summary
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InfeasibleError
from hdap.networks.checkpoint import start_network
from hdap.networks.onnx_files import to_onnx
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.surgery import keep, prune
from hdap.networks.tracing import describe
from hdap.portfolio.densify import densify
from hdap.portfolio.rewinding import train_levels
from hdap.portfolio.slimming import Slim, SlimRequest, slim
from hdap.portfolio.sparse_checkpoint import SparseLevel, read_sparse
from hdap.requests.training_request import SparseTraining
from hdap.training.datasets import Data, hold_out
from hdap.training.network_quality import evaluate
from hdap.training.training_loop import train
from hdap.training.training_session import TrainingWatch

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
RATE, HELD, NOISE = 0.5, 0.2, 0.01
BUDGETS = ("50%", "35%", "25%", "17%", "12%")
STEP = 8
SURGERIES = 5
WARM_UP, ROUNDS, RUNS = 50, 60, 20


@dataclass(frozen=True)
class Way:
    """A network that is compared: `channels` are its counts, `accuracy` on the 450 images.

    Seconds are those of this run: `train_s` of everything that had to be trained before it could
    be made, `choice_s` of choosing its counts and `tune_s` of its tuning.
    """

    network: str
    seed: int
    way: str
    level: str
    density: float
    accuracy: float
    flops: int
    parameters: int
    train_s: float
    choice_s: float = 0.0
    tune_s: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("train", "measure", "redraw"))
    parser.add_argument("--network", choices=TASKS, default="vgg")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="seeds at once, one thread each")
    parser.add_argument("--work", type=Path, default=Path("portfolio-work"))
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    if options.part == "train":
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, mp_context=spawn) as pool:
            work = partial(one_seed, options.network, work=options.work)
            for _ in pool.map(work, range(options.seeds)):
                pass
        return
    file = options.out / "portfolio.csv"
    if options.part == "measure":
        options.out.mkdir(parents=True, exist_ok=True)
        known = pl.read_csv(file) if file.exists() else pl.DataFrame()
        found = measure(options.work)
        if known.height:
            known = known.filter(~pl.col("network").is_in(found["network"].unique().implode()))
            found = pl.concat([known, found], how="vertical_relaxed")
        found.write_csv(file)
    found = pl.read_csv(file)
    print(summary(found))
    draw(found, options.out / "portfolio")
    print(f"written: {file}, .svg, .png")


def one_seed(network: str, seed: int, work: Path) -> None:
    """Train the levels of a seed and keep all ways as ONNX files, with a row each."""
    torch.set_num_threads(1)
    task, out = TASKS[network], work / f"{network}-{seed}"
    data, held = hold_out(task.read(), HELD, seed)
    recipe = replace(task.recipe, seed=seed)
    wanted = SparseTraining(out, network, recipe, levels=task.levels, rate=RATE)
    start = start_network(None, task.model, WeightsSource(seed=seed), seed)
    for level in train_levels(start, data, wanted, lambda _: TrainingWatch(), force=True):
        print(f"{network} {seed} {level.name} {level.density:.4f} {level.accuracy:.4f}", flush=True)
    ways = _Ways(network, seed, out, data, replace(data, validation=held))
    rows = list(ways.all())
    pl.DataFrame([asdict(row) for row in rows]).write_csv(work / f"{network}-{seed}.csv")
    for row in rows:
        print(f"{network} {seed} {row.way}: {row.accuracy:.4f}, {row.flops:,} FLOPs", flush=True)


class _Ways:
    def __init__(self, network: str, seed: int, out: Path, data: Data, choosing: Data) -> None:
        self._network, self._seed, self._out = network, seed, out
        self._task, self._data, self._choosing = TASKS[network], data, choosing
        self._levels = read_sparse(out, self._task.model)
        dense = self._levels[0].checkpoint.module
        self._architecture = describe(dense, network, self._task.shape)
        self._held = [self._judge(level.checkpoint.module) for level in self._levels]

    def all(self) -> Iterator[Way]:
        dense = self._levels[0].checkpoint.module
        place = self._sparsest(self._held[0] - NOISE)
        level = self._levels[place]
        sparse = level.checkpoint.module
        yield self._row("dense", dense, self._levels[0])
        yield self._row("sparse", sparse, level)
        yield self._row("zero filters", without_zero_filters(sparse, self._architecture), level)
        exact = densify(sparse, self._architecture, step=STEP)
        yield self._row("exact", exact.module, level)
        least = self._held[0 if self._task.equal else place]
        start = self._levels[self._sparsest(self._held[0])]
        found = self._slim(start.checkpoint.module, least)
        yield replace(
            self._row("slim", found.module, start),
            choice_s=found.choice_seconds,
            tune_s=found.tuning_seconds,
        )
        yield self._alone(found)

    def _sparsest(self, least: float) -> int:
        """The last level that has at least this accuracy on held-out images; 0 is dense."""
        return max(i for i, x in enumerate(self._held) if x >= least)

    def _slim(self, sparse: nn.Module, least: float) -> Slim:
        """The least budget such that it and all above are good enough; else the largest."""
        best: Slim | None = None
        for budget in BUDGETS:
            tuning = replace(self._task.tuning, seed=self._seed)
            request = SlimRequest(flops=budget, tuning=tuning, step=STEP, seed=self._seed)
            try:
                found = slim(sparse, self._architecture, request, self._choosing)
            except InfeasibleError:
                break
            print(
                f"{self._network} {self._seed} {budget}: {found.accuracy:.4f} of {least:.4f} held"
            )
            if best is None or found.accuracy >= least:
                best = found
            if found.accuracy < least:
                break
        assert best is not None
        return best

    def _alone(self, like: Slim) -> Way:
        start = start_network(None, self._task.model, WeightsSource(seed=self._seed), self._seed)
        network = prune(start.module, self._architecture, like.counts)
        began = time.perf_counter()
        train(network, self._data, replace(self._task.recipe, seed=self._seed), device="cpu")
        row = self._row("alone", network, self._levels[0])
        return replace(row, train_s=time.perf_counter() - began)

    def _judge(self, module: nn.Module) -> float:
        return evaluate(module, self._choosing.validation).accuracy

    def _row(self, way: str, module: nn.Module, level: SparseLevel) -> Way:
        content = to_onnx(module.eval(), self._task.shape).SerializeToString()
        (self._out.parent / f"{self._out.name}-{way.replace(' ', '-')}.onnx").write_bytes(content)
        now = describe(module, self._network, self._task.shape)
        before = self._levels[: self._levels.index(level) + 1]
        return Way(
            network=self._network,
            seed=self._seed,
            way=way,
            level=level.name,
            density=level.density,
            accuracy=evaluate(module, self._data.validation).accuracy,
            flops=int(flops(now, now.widths[None])[0]),
            parameters=int(parameters(now, now.widths[None])[0]),
            train_s=sum(one.train_seconds or 0.0 for one in before),
        )


def without_zero_filters(module: nn.Module, architecture: Architecture) -> nn.Module:
    """DNNShifter's rule: channels go whose filters are all zero, with what reads them.

    In a width group those of all its layers; what a batch norm makes of nothing is left out.
    """
    kept = []
    for group in architecture.groups:
        filled = np.zeros(group.width, dtype=np.bool_)
        for name in group.members:
            weight = module.get_submodule(name).get_parameter("weight").detach()
            filled |= (weight.flatten(1) != 0).any(1).numpy()
        filled[0] |= not filled.any()
        kept.append(np.flatnonzero(filled))
    return keep(module, architecture, kept).eval()


def measure(work: Path) -> pl.DataFrame:
    """Bytes, latency, surgery and export of every way in `work`."""
    torch.set_num_threads(1)
    frames = []
    for file in sorted(work.glob("*-*.csv")):
        ways = pl.read_csv(file)
        stem, network = file.stem, str(ways["network"][0])
        paths = [work / f"{stem}-{way.replace(' ', '-')}.onnx" for way in ways["way"]]
        latencies = latency_in_turns(paths, TASKS[network].shape)
        extra: list[dict[str, Any]] = [
            {
                "bytes": path.stat().st_size,
                "latency_ms": float(np.median(ms)),
                "over_sparse": float(np.median(latencies[1] / ms)),
                "over_dense": float(np.median(latencies[0] / ms)),
            }
            for path, ms in zip(paths, latencies, strict=True)
        ]
        seconds = surgery_seconds(work / stem, network, ways)
        columns = pl.DataFrame([a | b for a, b in zip(extra, seconds, strict=True)])
        frames.append(pl.concat([ways, columns], how="horizontal"))
        print(f"{stem} measured", flush=True)
    return pl.concat(frames)


def latency_in_turns(paths: list[Path], shape: tuple[int, ...]) -> np.ndarray:
    """Milliseconds of an inference on one thread: networks x rounds, each a median of runs."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    sessions = [onnxruntime.InferenceSession(str(p), settings, providers) for p in paths]
    rng = np.random.default_rng(0)
    image = {"input": rng.standard_normal((1, *shape)).astype(np.float32)}
    for session, _ in itertools.product(sessions, range(WARM_UP)):
        session.run(None, image)
    found = np.empty((len(sessions), ROUNDS))
    for turn in range(ROUNDS):
        for place, session in enumerate(sessions):
            times = []
            for _ in range(RUNS):
                began = time.perf_counter()
                session.run(None, image)
                times.append(time.perf_counter() - began)
            found[place, turn] = 1000 * float(np.median(times))
    return found


def surgery_seconds(levels: Path, network: str, ways: pl.DataFrame) -> list[dict[str, float]]:
    """Medians of the steps that make a variant of the level that `slim` is from."""
    task = TASKS[network]
    by_name = {x.name: x for x in read_sparse(levels, task.model)}
    sparse = by_name[ways.filter(pl.col("way") == "slim")["level"][0]].checkpoint.module
    architecture = describe(sparse, network, task.shape)
    data = task.read()
    rows: list[list[float]] = []
    for _ in range(SURGERIES):
        exact = densify(sparse, architecture, step=STEP)
        goal = str(ways.filter(pl.col("way") == "slim")["flops"][0])
        found = slim(sparse, architecture, SlimRequest(flops=goal, step=STEP), data, dense=exact)
        began = time.perf_counter()
        to_onnx(found.module, task.shape)
        exporting = time.perf_counter() - began
        rows.append([exact.seconds, found.surgery_seconds, found.recalibration_seconds, exporting])
    densified, slimmed, recalibrated, exporting = np.median(rows, axis=0).tolist()
    of = {"exact": densified, "slim": slimmed}
    return [
        {
            "surgery_s": of.get(way, np.nan),
            "recalibration_s": recalibrated if way == "slim" else np.nan,
            "export_s": exporting if way in of else np.nan,
        }
        for way in ways["way"]
    ]


if __name__ == "__main__":
    main()
