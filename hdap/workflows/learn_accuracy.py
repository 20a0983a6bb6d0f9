"""Accuracy after tuning, learned from a few networks that are tuned shortly before a search."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import StudyRecord
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import counted, percent
from hdap.requests.search_request import IMPORTANCE, LEARNED, SearchRequest
from hdap.search.planning.tuning_plan import FIRST_SHARE, first_tunings, guided_tunings
from hdap.search.problem.accuracy import Evaluator
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.learned_accuracy import LEAST_TUNINGS, LearnedAccuracy
from hdap.search.problem.proxies import proxy
from hdap.search.problem.search_problem import SearchProblem

if TYPE_CHECKING:
    from hdap.workflows.accuracy_evaluator import EvaluatorSpec


@dataclass(frozen=True)
class AccuracyLesson:
    """What was learned, from tunings that are stored as `judged_on`; `base` is the source of the
    importance that it weighs anew."""

    learned: LearnedAccuracy
    judged_on: str
    base: str

    @property
    def source(self) -> str:
        """What studies and the store call the importance that was learned: another name for other
        data, weights or networks."""
        learned = self.learned
        told = f"{self.judged_on} {learned.counts.tolist()} {learned.accuracy.tolist()}"
        digest = hashlib.sha256(told.encode()).hexdigest()[:12]
        return f"{self.base}, weighed by {len(learned.counts)} tunings ({digest})"

    @property
    def importance(self) -> Importance:
        """The importance to search with."""
        return self.learned.weighed(self.source)

    def asked(self, request: SearchRequest) -> SearchRequest:
        """With a least accuracy as the floor that it means."""
        least = request.min_accuracy
        return request if least is None else replace(request, floor=self.learned.kept_at(least))

    @property
    def settings(self) -> dict[str, Any]:
        """How a stored study names it: all that its importance follows from."""
        worth = self.learned.worth.tolist()
        return {"judged_on": self.judged_on, "base": self.base, "worth": worth}


def learn_accuracy(
    store: Store, request: SearchRequest, problem: SearchProblem, workers: int, say: Say
) -> AccuracyLesson:
    """Tune what the request asks for, but for what is stored already, and learn from all of it.

    First the best uniform network and varied ones within the budgets, then what a search finds with
    what these have taught.

    Raises:
        InputError, NotFoundError: network or data cannot be had, or the dense network has less than
            the least accuracy.
        NotEnoughDataError: the space holds too few networks.
        DivergedError: a tuning ran away.
    """
    # Loads torch, which most searches do without.
    from hdap.workflows.accuracy_evaluator import evaluator_pool

    spec = evaluator_spec(request, problem.architecture)
    with evaluator_pool(store, spec, workers) as evaluator:
        say(f"accuracy of the dense network: {percent(evaluator.dense)} on {evaluator.judged_on}")
        require_reachable(request, evaluator.dense)
        tune(evaluator, problem, request.tunings, request.seed, say)
        judged_on, base = evaluator.judged_on, problem.importance.source
    return AccuracyLesson(learned_from(store, problem, judged_on), judged_on, base)


def evaluator_spec(request: SearchRequest, architecture: Architecture) -> "EvaluatorSpec":
    """What evaluates networks for a request: tuned, where it learns from that."""
    from hdap.workflows.accuracy_evaluator import EvaluatorSpec  # loads torch

    return EvaluatorSpec(
        architecture,
        str(request.data),
        Path(request.weights) if request.weights else None,
        request.pretrained,
        request.seed,
        request.tune_images if request.learned else 0,
    )


def tune(evaluator: Evaluator, problem: SearchProblem, count: int, seed: int, say: Say) -> None:
    """Have `count` networks evaluated, which a seed decides whatever else is known already."""
    first = first_tunings(problem, max(round(FIRST_SHARE * count), LEAST_TUNINGS), seed)
    say(f"tuning {counted(len(first), 'network')} that are varied, but for those that are stored")
    taught = LearnedAccuracy(problem.importance, first, evaluator.accuracy(first), dense=1.0)
    guided = with_importance(problem, taught.weighed("for now"))
    more = guided_tunings(guided, count - len(first), first, seed)
    if len(more):
        say(f"tuning {counted(len(more), 'network')} that these make a search find")
        evaluator.accuracy(more)


def require_reachable(request: SearchRequest, dense: float) -> None:
    """Raise InputError where more accuracy is asked than the dense network has."""
    least = request.min_accuracy
    if least is not None and least > dense:
        raise InputError(
            f"`--min-accuracy` must be at most what the dense network has, {dense:.3f}, but got "
            f"{least:g}: lower it, or give better weights"
        )


def learned_from(store: Store, problem: SearchProblem, judged_on: str) -> LearnedAccuracy:
    """From every tuned network that is stored so, this search's or another's."""
    architecture = problem.architecture
    texts, accuracy = store.accuracies_on(architecture.model, judged_on)
    counts = parse_channels(architecture, texts).counts
    pruned = (counts != architecture.widths).any(axis=1)
    dense = float(accuracy[~pruned].max(initial=-np.inf))
    return LearnedAccuracy(problem.importance, counts[pruned], accuracy[pruned], dense)


def with_importance(problem: SearchProblem, importance: Importance) -> SearchProblem:
    """The same problem by another importance; its floor is again what the base line keeps."""
    return SearchProblem.build(
        problem.space,
        problem.band,
        problem.latency,
        problem.fleet,
        importance,
        goals=problem.goals,
        risk=problem.risk,
        limit_ms=problem.limit_ms,
    )


def stored_importance(store: Store, record: StudyRecord, architecture: Architecture) -> Importance:
    """The importance that a stored study was searched with. Raises NotFoundError where what it
    comes from is no longer stored."""
    source, known = str(record.settings[IMPORTANCE]), record.settings.get(LEARNED)
    if known is None:
        return _importance(store, architecture, source)
    base = _importance(store, architecture, known["base"])
    return base.weighed(np.array(known["worth"]), source)


def _importance(store: Store, architecture: Architecture, source: str) -> Importance:
    counted_alike = Importance.by_channels(architecture)
    if source == counted_alike.source:
        return counted_alike
    return Importance(source, store.importance(architecture.model, source).curves)


def stored_lesson(
    store: Store, record: StudyRecord, problem: SearchProblem
) -> AccuracyLesson | None:
    """What a stored study was searched with, as far as it was learned; None where it was not."""
    known = record.settings.get(LEARNED)
    if known is None:
        return None
    architecture = problem.architecture
    base = _importance(store, architecture, known["base"])
    weighed = base.with_proxy(proxy(str(record.settings["proxy"])), architecture)
    learned = learned_from(store, replace(problem, importance=weighed), known["judged_on"])
    return AccuracyLesson(learned, known["judged_on"], known["base"])
