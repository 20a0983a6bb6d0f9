"""Variants from searches at several budgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.costs import flops
from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import Checkpoint
from hdap.networks.criteria import Evidence
from hdap.networks.manifest import WEIGHTS
from hdap.networks.prune_plan import WeightsSource, plan_from_trial
from hdap.networks.pruned_network import prune_further
from hdap.networks.tracing import describe
from hdap.portfolio.candidates import Candidate, Candidates, importance_in, require_same
from hdap.requests.search_request import SearchRequest
from hdap.requests.shared_settings import DEFAULT_CRITERION
from hdap.search.driver.run_search import SearchProgress
from hdap.search.problem.budget import parse_flops
from hdap.training.datasets import Data, plain
from hdap.training.load_data import TrainingBatches
from hdap.training.network_quality import recalibrate_on
from hdap.training.training_loop import best_device
from hdap.workflows.artifacts import measured_architecture
from hdap.workflows.search_fleet import find_or_run


@dataclass(frozen=True)
class Start:
    """The network that is pruned, and where it is from: a checkpoint `folder`, else `weights`."""

    network: Checkpoint
    weights: WeightsSource
    folder: Path | None = None

    def counts(self, architecture: Architecture) -> Counts:
        """Its channels (`groups`)."""
        channels = self.network.manifest.channels
        return np.array([channels[group.name] for group in architecture.groups], dtype=np.int64)

    @property
    def importance_file(self) -> str | None:
        """Dense weights that a search can read importance from; None where they are in no file."""
        manifest = self.network.manifest
        if self.folder is not None and manifest.channels == manifest.dense:
            return str((self.folder / WEIGHTS).resolve())
        return None if self.weights.file is None else str(self.weights.file.resolve())


@dataclass(frozen=True)
class SearchOrder:
    """Budgets to search at (`0.5G`, `25%` of the dense model), and how: see `SearchRequest`."""

    budgets: Sequence[str]
    criterion: str = DEFAULT_CRITERION
    trials: int = 2000
    tolerance: float | None = None
    step: int = 0
    seed: int = 0


@dataclass(frozen=True)
class BudgetSearches:
    """Searches on the fleet of `store`, each a variant cut from `start`.

    Where there is `data`, batch norms are set anew on its training images. `progress` is told the
    budget that is being searched.
    """

    store: Store
    start: Start
    order: SearchOrder
    data: Data | None
    say: Say
    progress: Callable[[str, SearchProgress], None]

    def candidates(self) -> Candidates:
        """One network a budget; a budget that the start meets already is the start itself.

        Raises:
            InputError, InfeasibleError: a budget is none, or nothing meets it.
            NotEnoughDataError: nothing, or too little, was measured of the model.
        """
        manifest = self.start.network.manifest
        architecture = measured_architecture(self.store, manifest.model, self.say)
        require_same(architecture, manifest)
        dense = int(flops(architecture, architecture.widths[None])[0])
        budgets = {parse_flops(text, dense): text for text in reversed(self.order.budgets)}
        made = [
            self._as_it_is(architecture, text)
            if goal >= manifest.flops
            else self._searched(architecture, text)
            for goal, text in sorted(budgets.items())
        ]
        module = self.start.network.module
        now = describe(module, manifest.model, manifest.input_shape, manifest.channels)
        return Candidates("flops", architecture, importance_in(module, now), tuple(made))

    def _searched(self, architecture: Architecture, budget: str) -> Candidate:
        self.say(f"{budget}: searching")
        request = self._request(architecture, budget)
        search, _ = find_or_run(self.store, request, self.say, lambda p: self.progress(budget, p))
        plan = plan_from_trial(self.store, search.record.name, None)
        start, order = self.start.network, self.order
        batches = None if self.data is None else TrainingBatches(self.data, order.seed)
        evidence = Evidence(order.seed, batches)
        made = prune_further(start.module, start.manifest, plan, order.criterion, evidence)
        if self.data is not None:
            network = made.module.to(best_device())
            recalibrate_on(network, plain(self.data.train), seed=order.seed)
            network.cpu()
        origin = plan.origin
        provenance = self._provenance(budget) | {
            "study": None if origin is None else origin.study,
            "trial": None if origin is None else origin.trial,
            "criterion": order.criterion,
            "surgery_seconds": made.seconds,
            "recalibrated": self.data is not None,
        }
        return Candidate(budget, made.module, plan.counts, provenance)

    def _as_it_is(self, architecture: Architecture, budget: str) -> Candidate:
        self.say(f"{budget}: the network meets it as it is")
        module = self.start.network.module
        return Candidate(budget, module, self.start.counts(architecture), self._provenance(budget))

    def _request(self, architecture: Architecture, budget: str) -> SearchRequest:
        counts = self.start.counts(architecture)
        left = zip(architecture.groups, counts.tolist(), strict=True)
        return SearchRequest(
            architecture.model,
            budget,
            tolerance=self.order.tolerance,
            step=self.order.step,
            trials=self.order.trials,
            seed=self.order.seed,
            weights=self.start.importance_file,
            pretrained=self.start.weights.pretrained,
            limits={g.name: [1, count] for g, count in left if count < g.width},
        )

    def _provenance(self, budget: str) -> dict[str, Any]:
        manifest, folder = self.start.network.manifest, self.start.folder
        return {
            "from": "flops",
            "budget": budget,
            "checkpoint": None if folder is None else str(folder.absolute()),
            "weights": manifest.weights,
            "weights_sha256": manifest.safetensors_sha256 or manifest.weights_sha256,
            "seed": self.order.seed,
        }
