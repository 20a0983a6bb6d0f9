"""The accuracy guard: which pruned network of a short list still knows enough."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.wording import counted, percent
from hdap.networks.criteria import Evidence
from hdap.networks.manifest import NetworkManifest
from hdap.networks.prune_plan import PrunePlan
from hdap.networks.pruned_network import PrunedNetwork, prune_further
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data, Samples
from hdap.training.learning_task import LearningTask
from hdap.training.training_loop import best_device

RECALIBRATION = 20
"""Batches, where the recipe names no number: judging without would judge stale batch norms."""


@dataclass(frozen=True)
class Guard:
    """`images` are those that nothing learns from; a network passes with `ratio` of `before`.

    The `task` says what accuracy is."""

    step: int
    images: Samples
    before: float
    ratio: float
    task: LearningTask

    @property
    def least(self) -> float:
        """The accuracy that passes."""
        return self.ratio * self.before


@dataclass(frozen=True)
class Passed:
    """A pruned network with recalibrated batch norms, the trial that it is, and all that tried."""

    network: PrunedNetwork
    trial: int
    accuracy: float
    tried: dict[int, float]


def first_that_passes(
    start: nn.Module,
    manifest: NetworkManifest,
    plans: Sequence[PrunePlan],
    guard: Guard,
    data: Data,
    recipe: Recipe,
    criterion: str,
    evidence: Evidence,
) -> Passed:
    """Prune `start` as each plan says until one keeps the accuracy; plans are tried in order.

    Every plan is a trial. Raises `InfeasibleError` naming the step when none passes.
    """
    tried: dict[int, float] = {}
    settings = replace(recipe, recalibration=recipe.recalibration or RECALIBRATION)
    start = start.to("cpu")  # where criteria look at weights
    for plan in plans:
        assert plan.origin is not None
        made = prune_further(start, manifest, plan, criterion, evidence)
        guard.task.recalibrate(settings, made.module.to(best_device()), data.train)
        accuracy = guard.task.evaluate(made.module, guard.images).accuracy
        tried[plan.origin.trial] = accuracy
        if accuracy >= guard.least:
            return Passed(made, plan.origin.trial, accuracy, tried)
    best = max(tried, key=lambda trial: tried[trial])
    raise InfeasibleError(
        f"step {guard.step} must keep {percent(guard.ratio, 0)} of its accuracy of "
        f"{percent(guard.before)} on images held out of training before it is tuned, but the best "
        f"of {counted(len(tried), 'trial')}, {best}, has {percent(tried[best])}; take more "
        "--steps, tune longer, or lower "
        "--min-accuracy-ratio"
    )
