"""The tunings of the evidence: what is known of a network before, and what comes out."""

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.quality.evidence_plan import AGAIN, LONG, SHORT, Place, Settings
from benchmarks.quality.fisher import fisher_scores
from benchmarks.quality.frontier_plan import Cell, Work, model_of
from benchmarks.quality.frontier_plan import Settings as FrontierSettings
from benchmarks.quality.frontier_training import DATA, dense_network, run_cell
from benchmarks.quality.scores import CRITERIA
from benchmarks.quality.sensitivity import Sensitivity
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.networks.channel_importance import importance_curves
from hdap.networks.criteria import Evidence, channel_scores
from hdap.networks.following import follow_channels
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.training.batching import batches, chunks
from hdap.training.datasets import Data, Samples, part
from hdap.training.load_data import load_data
from hdap.training.network_quality import evaluate, recalibrate_by
from hdap.training.training_loop import train

GRADIENT_IMAGES, GRADIENT_BATCH = 2_048, 256
SENSITIVITY_IMAGES = 1_000


@dataclass(frozen=True)
class Images:
    """Fashion-MNIST in the parts that the settings name."""

    data: Data
    held: Samples

    @classmethod
    def of(cls, settings: Settings) -> "Images":
        """`held` follows the images that a dense network may learn from."""
        data = load_data(DATA)
        first = settings.dense_images
        judged = part(data.validation, range(settings.judged))
        held = part(data.train, range(first, first + settings.held))
        return cls(Data(data.train, judged, data.classes), held)

    def first(self, count: int) -> Samples:
        """The first training images."""
        return part(self.data.train, range(count))


class Tuner:
    """A trained dense network that is pruned, and what is left of it judged."""

    def __init__(self, place: Place, settings: Settings, work: Work, images: Images) -> None:
        self.place, self.settings, self.images = place, settings, images
        if not work.weights(place.network, place.seed).exists():
            run_cell(Cell(place.network, place.seed), _dense(settings), work, 1)
        self.module = dense_network(place.network, place.seed, work)
        self.architecture: Architecture = trace(model_of(place.network))
        self.graph = follow_channels(self.module, self.architecture.input_shape)
        self.l2 = channel_scores("l2", self.module, self.architecture, Evidence())

    @cached_property
    def curves(self) -> dict[str, tuple[Floats, ...]]:
        """The share that each count keeps, by criterion."""
        order = chunks(range(GRADIENT_IMAGES), GRADIENT_BATCH)
        first = list(batches(self.images.first(GRADIENT_IMAGES), order))
        evidence = Evidence(batches=first)
        scores = {
            name: channel_scores(name, self.module, self.architecture, evidence)
            for name in CRITERIA
        }
        scores["fisher"] = fisher_scores(self.module, self.architecture, first)
        return {name: importance_curves(own, self.architecture) for name, own in scores.items()}

    def sensitivity(self) -> list[Floats]:
        """See `Sensitivity.curves`."""
        held = part(self.images.held, range(min(SENSITIVITY_IMAGES, len(self.images.held))))
        others = self.images.first(self.settings.short)
        found = Sensitivity(self.module, self.architecture, self.l2, held, others)
        return found.curves()

    def tuned(self, counts: Counts, way: str) -> dict[str, float]:
        """Quality after a tuning, and before it where it is the short one."""
        began, processor = time.monotonic(), time.process_time()
        recipe = self.settings.recipe(way, self.place.seed)
        network = prune(self.module, self.architecture, counts, self.l2, graph=self.graph)
        network = network.to(memory_format=torch.channels_last)
        learned = self.images.first(self.settings.images(way))
        recalibrate_by(recipe, network, learned)
        found = {}
        if way == SHORT:
            before = evaluate(network, self.images.held)
            found = {"untuned": before.accuracy, "untuned_loss": before.loss}
        judged = self.images.held if way == SHORT else self.images.data.validation
        data = Data(learned, judged, self.images.data.classes)
        last = train(network, data, recipe, device="cpu").last
        found |= {"accuracy": last.accuracy, "loss": last.validation_loss}
        found |= {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - processor}
        return found

    def dense(self) -> dict[str, float]:
        """Quality of the dense network on both parts."""
        own, held = (
            evaluate(self.module, s) for s in (self.images.data.validation, self.images.held)
        )
        return {"accuracy": own.accuracy, "loss": own.loss, "held": held.accuracy}


def jobs(configurations: int, again: int) -> list[tuple[int, str]]:
    """Tunings in their order: what stops early has whole configurations."""
    every = [(number, way) for number in range(configurations) for way in (SHORT, LONG)]
    some = np.linspace(0, configurations - 1, again).round().astype(int).tolist()
    return every + [(number, AGAIN) for number in some]


def _dense(settings: Settings) -> FrontierSettings:
    return FrontierSettings(
        images=settings.dense_images, judged=settings.judged, dense_epochs=settings.dense_epochs
    )
