"""The accuracy of pruned networks: cut, recalibrated, tuned shortly or not, evaluated on images."""

import hashlib
import logging
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.model_names import kind_of_model
from hdap.fleet_data.records import Floats
from hdap.fleet_data.store import Store
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.criteria import Evidence, channel_scores
from hdap.networks.following import follow_channels
from hdap.networks.loading import load_model
from hdap.networks.surgery import Scores, prune
from hdap.requests.shared_settings import DEFAULT_CRITERION
from hdap.requests.training_request import PRUNED_RECIPE
from hdap.search.problem.accuracy import Evaluator
from hdap.training.batching import shuffled
from hdap.training.datasets import Data, DataOptions, Samples, part, plain, split
from hdap.training.load_data import load_data
from hdap.training.network_quality import evaluate, recalibrate_on
from hdap.training.training_loop import train

HELD_SHARE = 0.2
"""Of the training data, to judge many trials on; the validation part stays unseen until the answer.
"""
LEARNED_SHARE = 0.5
"""Of the validation part, to learn from a few tunings: the dense network knows the training images,
so on those no tuned network compares with it. The other half stays unseen."""
MOST_IMAGES, MOST_LEARNED_IMAGES = 2000, 5000
RECALIBRATION_BATCHES = 8
TUNING = replace(PRUNED_RECIPE, epochs=1, recalibration=0)
"""As `hdap finetune` trains by default, once through a part of the images; batch norms are
recalibrated before, on images that are not judged by."""


@dataclass(frozen=True)
class AccuracyEvaluator:
    """A dense network, which of its channels matter, and images: to evaluate on, to recalibrate on.

    Channels are cut as `hdap prune` cuts them by default. Batch norms of the cut network are
    recalibrated on others than it is evaluated on (see `recalibrate`). Then it is tuned once
    through `tune_images` of these, if there are any; the dense network stays as it is.
    """

    module: nn.Module
    architecture: Architecture
    scores: tuple[Scores, ...]
    graph: ChannelGraph
    held: Samples
    others: Samples
    classes: int | None
    seed: int
    tune_images: int = 0

    @classmethod
    def of(
        cls,
        module: nn.Module,
        architecture: Architecture,
        data: Data,
        seed: int,
        tune_images: int = 0,
    ) -> "AccuracyEvaluator":
        """What networks are evaluated on is chosen by `seed`: a part of the training images, which
        nothing else is done with, or where networks are tuned half of the validation images."""
        others, held = split(plain(data.train), HELD_SHARE, seed)
        most = MOST_IMAGES
        if tune_images:
            others, most = plain(data.train), MOST_LEARNED_IMAGES
            _, held = split(plain(data.validation), LEARNED_SHARE, seed)
        held = plain(part(held, range(min(len(held), most))))
        graph = follow_channels(module, architecture.input_shape)
        scores = channel_scores(
            DEFAULT_CRITERION, module, architecture, Evidence(seed), graph=graph
        )
        classes = data.classes
        return cls(module, architecture, scores, graph, held, others, classes, seed, tune_images)

    def accuracy(self, counts: Counts) -> float:
        """The share of images that the network with these counts (`groups`) gets right.

        Raises DivergedError where its tuning ran away.
        """
        network = prune(self.module, self.architecture, counts, self.scores, graph=self.graph)
        recalibrate_on(network, self.others, count=RECALIBRATION_BATCHES, seed=self.seed)
        if self.tune_images and not np.array_equal(counts, self.architecture.widths):
            recipe = replace(TUNING, seed=self.seed)
            return train(network, self.tuned_on, recipe).last.accuracy
        return evaluate(network, self.held).accuracy

    @cached_property
    def tuned_on(self) -> Data:
        """What a tuning learns from and is evaluated on."""
        chosen = shuffled(self.others, self.seed, 0)[: self.tune_images]
        return Data(part(self.others, chosen), self.held, self.classes)


@dataclass(frozen=True)
class EvaluatorSpec:
    """From what any process can make the same `AccuracyEvaluator`."""

    architecture: Architecture
    data: str
    weights: Path | None
    pretrained: bool
    seed: int
    tune_images: int = 0

    def made(self) -> AccuracyEvaluator:
        """Load network and data.

        Raises InputError or NotFoundError where one of them cannot be had.
        """
        model, shape = self.architecture.model, self.architecture.input_shape
        untrained = self.weights is None and not self.pretrained
        if kind_of_model(model) == "timm" and untrained:
            raise InputError(
                "accuracy needs a trained network, but the model's weights are random: give "
                "--weights FILE or --pretrained"
            )
        loaded = load_model(model, weights=self.weights, pretrained=self.pretrained)
        data = load_data(self.data, DataOptions.of_model(model, shape, self.seed))
        return AccuracyEvaluator.of(
            loaded.module, self.architecture, data, self.seed, self.tune_images
        )


class EvaluatorPool(Evaluator):
    """Evaluates networks on as many processes as asked, each configuration once for all searches.

    What was found is stored under the digest of the weights, the name of the data and how they were
    used. Use it by `evaluator_pool`, which ends the processes.
    """

    def __init__(
        self,
        store: Store,
        spec: EvaluatorSpec,
        evaluator: AccuracyEvaluator,
        pool: ProcessPoolExecutor | None,
    ) -> None:
        self._store, self._spec, self._evaluator, self._pool = store, spec, evaluator, pool
        self.judged_on = _judged_on(spec, self._evaluator)
        self.asked = 0

    @cached_property
    def dense(self) -> float:
        """The accuracy of the dense network, found in the same way."""
        return float(self.accuracy(self._spec.architecture.widths[None])[0])

    def accuracy(self, counts: Counts) -> Floats:
        architecture = self._spec.architecture
        texts = format_channels(architecture, counts)
        found = self._store.accuracies(architecture.model, self.judged_on, texts)
        unknown = np.flatnonzero(np.isnan(found))
        _, first = np.unique(counts[unknown], axis=0, return_index=True)
        todo = unknown[np.sort(first)]
        if not len(todo):
            return found
        known: dict[str, float] = {}
        for place, new in zip(todo, self._evaluated([counts[i] for i in todo]), strict=True):
            # at once: a tuning takes minutes, and nothing that is done is done again
            one = texts[place]
            self._store.save_accuracies(architecture.model, self.judged_on, [one], np.array([new]))
            known[one] = new
            self.asked += 1
        return np.array([known.get(t, f) for t, f in zip(texts, found.tolist(), strict=True)])

    def tell(self, counts: Counts, accuracy: Floats) -> None:
        known = np.flatnonzero(np.isfinite(accuracy))
        architecture = self._spec.architecture
        texts = format_channels(architecture, counts[known])
        self._store.save_accuracies(architecture.model, self.judged_on, texts, accuracy[known])

    def _evaluated(self, rows: Sequence[Counts]) -> Iterator[float]:
        if self._pool is None:
            with _one_thread():
                yield from map(self._evaluator.accuracy, rows)
            return
        try:
            yield from self._pool.map(_accuracy, rows)
        except BrokenProcessPool as error:
            raise HdapError(
                "a process that judges accuracy died; what was found is kept, go on with --resume "
                "and fewer --workers if memory is short"
            ) from error


@contextmanager
def evaluator_pool(
    store: Store, spec: EvaluatorSpec, workers: int = 1, loaded: AccuracyEvaluator | None = None
) -> Iterator[EvaluatorPool]:
    """An evaluator with `workers` processes, which end with the block; 1 evaluates in this process.

    `loaded` is what `spec` made before. The number of processes does not change any accuracy.
    Raises as `EvaluatorSpec.made`.
    """
    loaded = loaded or spec.made()
    if workers == 1:
        yield EvaluatorPool(store, spec, loaded, None)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (spec,))
    try:
        yield EvaluatorPool(store, spec, loaded, pool)
    finally:
        pool.shutdown(cancel_futures=True)


_evaluators: list[AccuracyEvaluator] = []
"""The one of a process of the pool."""


def _begin(spec: EvaluatorSpec) -> None:
    logging.getLogger("hdap").setLevel(logging.ERROR)  # the process that asks has told warnings
    # Ctrl-C reaches all processes of a terminal; the one that asks decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _evaluators.append(spec.made())


def _accuracy(counts: Counts) -> float:
    return _evaluators[0].accuracy(counts)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of several threads are rounded otherwise: all processes work with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _judged_on(spec: EvaluatorSpec, evaluator: AccuracyEvaluator) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(evaluator.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    held = len(evaluator.held)
    data = spec.data if ":" in spec.data else str(Path(spec.data).resolve())
    if spec.tune_images:
        tuned = len(evaluator.tuned_on.train)
        images = f"{held:,} validation images (seed {spec.seed}), tuned once through {tuned:,}"
    else:
        total = held + len(evaluator.others)
        images = f"{held:,} of {total:,} training images (seed {spec.seed})"
    return f"{data}: {images}, weights {digest.hexdigest()[:16]}, cut by {DEFAULT_CRITERION}"
