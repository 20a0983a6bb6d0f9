"""HDAP's whole loop: search, prune, guard, tune; step by step down to the budget.

HDAP (arXiv 2501.15240, 2512.00017) prunes iteratively under surrogates of the fleet's clusters.
Here the FLOPs fall geometrically, and every network that a step considers meets its budget exactly.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, start_network
from hdap.networks.criteria import Evidence
from hdap.networks.prune_plan import WeightsSource, plan_from_trial
from hdap.requests.compression_request import CompressRequest
from hdap.requests.search_request import SearchRequest
from hdap.requests.training_request import TrainingRequest
from hdap.search.analysis.answer import Answer
from hdap.search.driver.run_search import SearchProgress as SearchProgress
from hdap.search.problem.budget import parse_flops
from hdap.training.datasets import Data, Samples, hold_out
from hdap.training.finetuning import fine_tune, resumable
from hdap.training.load_data import TrainingBatches
from hdap.training.own_task import load_task
from hdap.training.training_loop import best_device
from hdap.training.training_session import (
    TrainingWatch,
    begun_tuning,
    free_run,
)
from hdap.workflows.accuracy_guard import Guard, first_that_passes
from hdap.workflows.answer_search import answer_of
from hdap.workflows.artifacts import measured_architecture
from hdap.workflows.compression_journal import Journal, StepEntry, read_journal, require_same
from hdap.workflows.search_fleet import find_or_run

HDAP_CUT = 0.2
"""HDAP lets a step take at most 20 % of a layer's channels (arXiv 2512.00017, experiments)."""


@dataclass(frozen=True)
class CompressWatch:
    """Who is told on the way: lines, the progress of a step's search and of its tuning."""

    say: Say
    searching: Callable[[int, SearchProgress], None]
    tuning: Callable[[int], TrainingWatch]


@dataclass(frozen=True)
class _State:
    """What a step begins with: the network, all data, and the images of the guard."""

    network: Checkpoint
    data: Data
    guard: Samples


class Compression:
    """A compression of one model in one folder, new or resumed. Build it with `begin`."""

    def __init__(
        self,
        store: Store,
        request: CompressRequest,
        out: Path,
        architecture: Architecture,
        journal: Journal,
        state: _State,
        workers: int,
    ) -> None:
        self._store, self._request, self._out = store, request, out
        self._architecture, self._state, self._workers = architecture, state, workers
        dense = int(flops(architecture, architecture.widths[None])[0])
        budget = parse_flops(request.flops, dense)
        self.schedule = flops_schedule(dense, budget, request.steps)
        self.journal = journal
        self._task = load_task(request.loss, request.metric)

    @classmethod
    def begin(
        cls,
        store: Store,
        request: CompressRequest,
        data: Data,
        out: Path,
        say: Say,
        *,
        resume: bool = False,
        workers: int = 0,
    ) -> "Compression":
        """Start, or (`resume`) go on with what `out` holds.

        Raises:
            InputError: `out` holds anything and is not to be resumed, or is of another request.
            NotEnoughDataError: nothing was measured of the model.
            InfeasibleError: the budget is above the dense model.
        """
        architecture = measured_architecture(store, request.model, say)
        data, guard = hold_out(data, request.guard_share, request.recipe.seed)
        journal = read_journal(out) if resume else None
        if journal is not None:
            require_same(journal, request)
            say(f"resuming after step {journal.done} of {request.steps}")
        elif out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise InputError(
                f"`--out` must be new or empty, but {out} is not; name another, or go on with "
                "--resume"
            )
        if journal is not None and journal.done:
            network = load_checkpoint(tuned_folder(out, journal.done), model=request.model)
        else:
            weights = Path(request.weights) if request.weights else None
            source = WeightsSource(weights, request.pretrained)
            network = start_network(None, request.model, source)
        if journal is None:
            task = load_task(request.loss, request.metric)
            accuracy = task.evaluate(network.module, guard).accuracy
            simulated = store.has_simulated()
            journal = Journal(free_run(store, out.name), request, simulated, store.name, accuracy)
        network.module.to(best_device())
        state = _State(network, data, guard)
        return cls(store, request, out, architecture, journal, state, workers)

    def remaining(self, watch: CompressWatch) -> Iterator[StepEntry]:
        """Do the steps that are not done, one at a time.

        Raises:
            InfeasibleError: no network meets a step's budget, or none passes the guard.
            DivergedError: a tuning's loss is not finite.
            InputError: something cannot be written, or what was written before is gone.
        """
        for step in range(self.journal.done + 1, self._request.steps + 1):
            yield self._step(step, watch)

    def _step(self, step: int, watch: CompressWatch) -> StepEntry:
        entry = next((one for one in self.journal.steps if one.step == step), None)
        if entry is None or not pruned_folder(self._out, step).is_dir():
            entry = self._prune(step, watch)
        else:
            watch.say(f"step {step}: pruned before as trial {entry.trial} of {entry.study}")
        tuned = self._tune(step, watch.tuning(step))
        accuracy = self._task.evaluate(tuned.module, self._state.guard).accuracy
        entry = replace(
            entry,
            accuracy_after=accuracy,
            validation_accuracy=tuned.manifest.tunings[-1].accuracy,
        )
        self._write(entry)
        self._store.save_compression_step(self.journal.record(entry, tuned_folder(self._out, step)))
        self._state = replace(self._state, network=tuned)
        return entry

    def _prune(self, step: int, watch: CompressWatch) -> StepEntry:
        request, state = self._request, self._state
        before = self._task.evaluate(state.network.module, state.guard).accuracy
        found, study = self._search(step, watch)
        plans = [
            plan_from_trial(self._store, study, int(number))
            for number in found.numbers[: request.candidates]
        ]
        passed = first_that_passes(
            state.network.module,
            state.network.manifest,
            plans,
            Guard(step, state.guard, before, request.guard_ratio, self._task),
            state.data,
            request.recipe,
            request.criterion,
            Evidence(request.recipe.seed, TrainingBatches(state.data, request.recipe.seed)),
        )
        row = found.shortlist[list(found.numbers).index(passed.trial)]
        made = passed.network
        folder = pruned_folder(self._out, step)
        manifest = save_checkpoint(folder, made.module, made.manifest, force=True)
        self._state = replace(state, network=Checkpoint(made.module, manifest))
        entry = StepEntry(
            step=step,
            study=study,
            trial=passed.trial,
            flops=row.flops,
            predicted_ms=row.fleet_mean_ms,
            predicted_low_ms=row.fleet_mean_low_ms,
            predicted_high_ms=row.fleet_mean_high_ms,
            dense_ms=found.dense.fleet_mean_ms,
            accuracy_before=before,
            accuracy_pruned=passed.accuracy,
            tried={str(trial): accuracy for trial, accuracy in passed.tried.items()},
        )
        self._write(entry)
        return entry

    def _search(self, step: int, watch: CompressWatch) -> tuple[Answer, str]:
        request = self._request
        now = self._state.network.manifest
        counts = np.array([now.channels[g.name] for g in self._architecture.groups])
        goal = self.schedule[step - 1]
        limits = step_limits(self._architecture, counts, step_cut(request, now.flops, goal))
        wanted = SearchRequest(
            request.model,
            str(goal),
            tolerance=request.tolerance,
            objective=request.objective,
            trials=request.trials,
            seed=request.recipe.seed + step,
            weights=request.weights or None,
            pretrained=request.pretrained,
            limits={name: list(pair) for name, pair in limits.items()},
        )
        try:
            search, result = find_or_run(
                self._store, wanted, watch.say, lambda p: watch.searching(step, p)
            )
        except InfeasibleError as error:
            raise InfeasibleError(f"step {step}: {error}, or raise --max-cut") from error
        return answer_of(search, result), search.record.name

    def _tune(self, step: int, watch: TrainingWatch) -> Checkpoint:
        request = self._request
        wanted = TrainingRequest(
            tuned_folder(self._out, step),
            request.data,
            request.recipe,
            request.teacher,
            request.loss,
            request.metric,
            workers=self._workers,
            run=f"{self.journal.run}-step-{step}",
        )
        begun, snapshot = begun_tuning(wanted.out), None
        if begun is not None and begun.epochs >= request.recipe.epochs:
            return load_checkpoint(wanted.out, model=request.model)
        if begun is not None:
            start, snapshot = resumable(wanted, model=request.model)
        else:
            start = load_checkpoint(pruned_folder(self._out, step), model=request.model)
        done, _ = fine_tune(start, self._state.data, wanted, watch, resume=snapshot)
        return done

    def _write(self, entry: StepEntry) -> None:
        self.journal = self.journal.with_step(entry)
        self.journal.write(self._out)


def pruned_folder(out: Path, step: int) -> Path:
    """Where a step keeps its network as it was pruned."""
    return out / f"step-{step}" / "pruned"


def tuned_folder(out: Path, step: int) -> Path:
    """Where a step keeps the same network tuned."""
    return out / f"step-{step}" / "tuned"


def flops_schedule(dense: int, budget: int, steps: int) -> list[int]:
    """FLOPs after each step, a geometric sequence that ends at the budget."""
    shares = [k / steps for k in range(1, steps)]
    return [round(dense * (budget / dense) ** share) for share in shares] + [budget]


def step_limits(
    architecture: Architecture, counts: Counts, cut: float
) -> dict[str, tuple[int, int]]:
    """Least and most channels of each group after a step that begins with `counts` (`groups`)."""
    return {
        group.name: (max(1, math.ceil(int(now) * (1.0 - cut))), int(now))
        for group, now in zip(architecture.groups, counts, strict=True)
    }


def step_cut(request: CompressRequest, before: int, after: int) -> float:
    """The share of a group's channels that a step from `before` to `after` FLOPs may take.

    FLOPs go with the square of a ratio that all groups share.
    """
    if request.max_cut is not None:
        return request.max_cut
    if request.steps == 1:
        return 1.0
    return min(1.0, max(HDAP_CUT, 2.0 * (1.0 - math.sqrt(after / before))))
