"""One network trained from one seed, pruned in many ways at equal FLOPs, fine-tuned each time."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.quality.scores import CRITERIA, Kept, scores
from benchmarks.quality.search import searched
from hdap.examples.digits import Digits, split_digits
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats
from hdap.networks.channel_importance import importance_curves
from hdap.networks.criteria import Evidence, channel_scores
from hdap.networks.following import follow_channels
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import load_seeded
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.requests.recipe import Recipe
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace
from hdap.training.batching import batches, chunks
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate, recalibrate_on
from hdap.training.training_loop import train

BUDGETS = {"small_resnet": 0.10, "small_mobilenet": 0.30}
"""Share of the dense FLOPs that is left."""
SPENT = 0.03
"""All networks of a cell spend their budget but for so much: they compare at equal FLOPs."""
IMAGES, COPIES, JUDGED_COPIES = 300, 16, 2
"""Few training images, each in so many disturbed copies; and copies of the others to judge by."""
SHIFT, NOISE = 1, 0.5
DENSE = Recipe(
    epochs=3, batch_size=64, optimizer="adamw", lr=0.01, weight_decay=0.01, warmup_epochs=0.1
)
TUNING = replace(DENSE, epochs=1)
RECALIBRATION_BATCHES = TAYLOR_BATCHES = 8
STEP, NARROWEST = 2, 1 / 16
"""Grid of what is drawn and its narrowest share; the search has its own."""
TWICE = 4
"""So many drawn configurations, and all others, are fine-tuned with two seeds."""
SPREADS = (0.1, 1.0)
"""Standard deviations of the logarithm of the share that a drawn configuration keeps of a group."""

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Cell:
    """A network and a seed, which decides split, disturbance, weights and what is drawn."""

    network: str
    seed: int
    drawn: int


def run_cell(cell: Cell) -> list[Row]:
    """A row for each fine-tuning: proxies, what was known before it, and what came out."""
    torch.set_num_threads(1)
    data = disturbed_digits(cell.seed)
    model = f"hdap.examples.networks:{cell.network}"
    architecture = trace(model)
    dense = load_seeded(model, WeightsSource(seed=cell.seed)).module
    trained = train(dense, data, replace(DENSE, seed=cell.seed), device="cpu").last
    curves = _curves(dense, architecture, data)
    dense_flops = flops(architecture, architecture.widths[None])[0]
    budget = band(round(BUDGETS[cell.network] * dense_flops), SPENT)
    found = searched(architecture, budget, curves["l2"], cell.seed)
    named = {name: one.counts for name, one in found.items()}
    random = drawn(architecture, budget, cell.drawn, cell.seed)
    named |= {f"drawn {number}": counts for number, counts in enumerate(random)}
    proxies = scores(Kept.of(architecture, np.stack(list(named.values())), curves))
    tuner = _Tuner(dense, architecture, data, cell.seed)
    rows: list[Row] = []
    for place, (name, counts) in enumerate(named.items()):
        known: Row = {"network": cell.network, "seed": cell.seed, "dense": trained.accuracy}
        known |= {"name": name, "channels": " ".join(map(str, counts))}
        known |= {"simulated_ms": found[name].simulated_ms if name in found else np.nan}
        known |= {proxy: float(values[place]) for proxy, values in proxies.items()}
        known |= tuner.untuned(counts)
        twice = place < len(found) + TWICE
        rows += [known | tuner.tuned(counts, tune) for tune in range(1 + twice)]
    return rows


class _Tuner:
    """Prunes one dense network and judges what is left, before and after fine-tuning."""

    def __init__(self, dense: nn.Module, architecture: Architecture, data: Data, seed: int) -> None:
        self.dense, self.architecture, self.data, self.seed = dense, architecture, data, seed
        self.importance = channel_scores("l2", dense, architecture, Evidence())
        self.graph = follow_channels(dense, architecture.input_shape)
        self.done: dict[tuple[str, int], Row] = {}

    def untuned(self, counts: Counts) -> Row:
        """Quality after BN recalibration alone; the loss is negative, so that more is better."""
        network = self._pruned(counts)
        recalibrate_on(network, self.data.train, count=RECALIBRATION_BATCHES, seed=self.seed)
        found = evaluate(network, self.data.validation)
        return {"un-tuned accuracy": found.accuracy, "un-tuned loss": -found.loss}

    def tuned(self, counts: Counts, tune: int) -> Row:
        """Quality after fine-tuning with the seed `tune`; equal configurations are tuned once."""
        key = (str(counts), tune)
        if key not in self.done:
            recipe = replace(TUNING, seed=1000 + tune)
            last = train(self._pruned(counts), self.data, recipe, device="cpu").last
            result: Row = {"tune": tune, "accuracy": last.accuracy, "loss": last.validation_loss}
            self.done[key] = result
        return self.done[key]

    def _pruned(self, counts: Counts) -> nn.Module:
        return prune(self.dense, self.architecture, counts, self.importance, graph=self.graph)


def drawn(architecture: Architecture, budget: FlopsBand, n: int, seed: int) -> Counts:
    """`n` different random configurations in the band, from near uniform to extreme."""
    space = SearchSpace.build(architecture, STEP, min_share=NARROWEST)
    repair, rng = Repair(space, budget), np.random.default_rng(seed)
    spread = rng.uniform(*SPREADS, size=(4 * n, 1))
    shares = np.exp(spread * rng.standard_normal((4 * n, len(architecture.groups))))
    found, first = np.unique(repair(shares * architecture.widths / 4), axis=0, return_index=True)
    chosen: Counts = found[first.argsort()[:n]]
    return chosen


def disturbed_digits(seed: int) -> Data:
    """Few digits to learn from, the others to judge by; all shifted at random, and noisy."""
    train_part, others = split_digits(validation_share=1 - IMAGES / 1797, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    parts = (_disturbed(train_part, COPIES, rng), _disturbed(others, JUDGED_COPIES, rng))
    return Data(*parts, classes=len(train_part.classes))


def _disturbed(digits: Digits, copies: int, rng: torch.Generator) -> Digits:
    images, labels = digits.images.repeat(copies, 1, 1, 1), digits.labels.repeat(copies)
    size = images.shape[-1]
    padded = functional.pad(images, (SHIFT,) * 4, value=float(images.min()))
    rows, columns = (
        torch.randint(0, 2 * SHIFT + 1, (len(labels), 1), generator=rng) + torch.arange(size)
        for _ in range(2)
    )
    every = torch.arange(len(labels))[:, None, None]
    moved = padded[every, 0, rows[:, :, None], columns[:, None, :]][:, None]
    return Digits(moved + NOISE * torch.randn(moved.shape, generator=rng), labels)


def _curves(
    dense: nn.Module, architecture: Architecture, data: Data
) -> dict[str, tuple[Floats, ...]]:
    first = _first_batches(data)
    found = {}
    for criterion in CRITERIA:
        evidence = Evidence(batches=first)
        importance = channel_scores(criterion, dense, architecture, evidence)
        found[criterion] = importance_curves(importance, architecture)
    return found


def _first_batches(data: Data) -> list[tuple[Tensor, Tensor]]:
    order = range(TAYLOR_BATCHES * DENSE.batch_size)
    return list(batches(data.train, chunks(order, DENSE.batch_size)))
