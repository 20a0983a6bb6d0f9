"""The answer of a search as `--json` prints it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from hdap.cli.tables.arms_table import arms_document
from hdap.cli.tables.fleets_table import fleets_document
from hdap.cli.tables.front_table import documents
from hdap.cli.tables.networks_table import networks_document
from hdap.search.analysis.answer import Answer, AnswerRow
from hdap.search.analysis.arms import Arm
from hdap.search.analysis.single_cluster_baseline import SingleClusterBaseline
from hdap.search.driver.run_search import SearchResult
from hdap.search.problem.learned_accuracy import Difference
from hdap.search.sizes.sizes_worth import SizesWorth
from hdap.surrogate.models.base import Z90
from hdap.workflows.compare_fleets import FleetsCompared
from hdap.workflows.compare_networks import ClusterAssignment
from hdap.workflows.learn_accuracy import AccuracyLesson
from hdap.workflows.search_fleet import Search


@dataclass(frozen=True)
class ToldAnswer:
    """All that a search has to tell; what is None or empty was not asked for, or cannot be told.

    `above_best` is how far above the least possible the objective is at most, a fraction;
    `precisions` are its networks in each precision of the fleet, `fleets` compares two fleets.
    """

    search: Search
    result: SearchResult
    found: Answer
    worth: SingleClusterBaseline
    sizes: SizesWorth | None = None
    compared: ClusterAssignment | None = None
    above_best: float | None = None
    precisions: Sequence[Arm] = ()
    fleets: FleetsCompared | None = None


def document(told: ToldAnswer) -> dict[str, Any]:
    """The answer as `--json` prints it."""
    search, result, found, worth = told.search, told.result, told.found, told.worth
    problem = search.problem
    several = {"front": documents(problem.goals.names, found.front)} if found.front else {}
    parts: dict[str, Any] = {}
    if told.sizes is not None:
        parts["sizes"] = asdict(told.sizes)
    if told.compared is not None:
        parts["per_cluster"] = networks_document(told.compared)
    if told.precisions:
        parts["precisions"] = arms_document(told.precisions)
    if told.fleets is not None:
        parts["fleets"] = fleets_document(told.fleets)
    return {
        "study": search.record.name,
        "model": search.record.model,
        "latency": "predicted",
        "objective": problem.goals.text,
        "objective_unit": problem.goals.first.unit,
        "above_best_possible": told.above_best,
        "latency_limit_ms": problem.limit_ms,
        "flops_low": search.record.flops_low,
        "flops_high": search.record.flops_high,
        "kept_importance_floor": search.problem.floor,
        "importance": search.problem.importance.source,
        "clustering": search.clustering.id,
        "step": search.problem.space.step,
        "trials": 0 if result.trials is None else len(result.trials),
        "configurations": search.profile.configurations,
        "all_scored": all_scored(search, result),
        "scored": result.scored,
        "seconds": result.seconds,
        "stopped": result.stopped,
        "rows": [_row(search, row) for row in found.rows],
        "gain_over_best_uniform": {
            "predicted": found.gain.predicted,
            "promised": found.gain.promised,
            "doubt": found.gain.doubt,
        },
        "trial": int(found.numbers[0]),
        "shortlist": [int(n) for n in found.numbers],
        "channels": _channels(search, found.found),
        "awareness": {
            "largest_cluster": worth.largest,
            "largest_alone_fleet_mean_ms": worth.single_fleet_ms,
            "gain": worth.gain,
            "uncertainty": worth.uncertainty,
            "rank_correlations": worth.ranks,
            "one_device_would_do": worth.one_device_would_do,
        },
        **several,
        **parts,
    }


def _channels(search: Search, row: AnswerRow) -> dict[str, int]:
    groups = search.problem.architecture.groups
    return {g.name: c for g, c in zip(groups, row.counts.tolist(), strict=True)}


def _row(search: Search, row: AnswerRow) -> dict[str, Any]:
    renamed = {
        "name": "network",
        "over_dense": "speedup_over_dense",
        "over_uniform": "speedup_over_uniform",
    }
    plain = {f.name: getattr(row, f.name) for f in fields(row) if f.name != "counts"}
    named = {renamed.get(name, name): value for name, value in plain.items()}
    return named | {"channels": _channels(search, row)}


def accuracy_of(search: Search, result: SearchResult, found: Answer) -> dict[str, dict[str, Any]]:
    """The part of the answer's document about accuracy; empty where nothing was judged."""
    if search.lesson is not None:
        return {"learned_accuracy": learned_document(search.lesson, found)}
    if search.request.data is None or result.trials is None or result.trials.accuracy is None:
        return {}
    judged = result.trials.accuracy
    row = np.flatnonzero(result.trials.number == found.numbers[0])[0]
    return {
        "accuracy": {
            "found_untuned": float(judged[row]),
            "least": search.request.min_accuracy,
            "judged_trials": int(np.isfinite(judged).sum()),
            "data": search.request.data,
        }
    }


def all_scored(search: Search, result: SearchResult) -> bool:
    """Whether there is no configuration within the budget that this study has not looked at."""
    every, done = search.problem.every, 0 if result.trials is None else len(result.trials)
    # The default sampler looks at all of a small space before its second trial.
    by_default = search.request.sampler == "fleet"
    return every is not None and (done >= len(every) or (by_default and done > 1))


def learned_document(lesson: AccuracyLesson, found: Answer) -> dict[str, Any]:
    """Accuracy after a short tuning, predicted, as shares; `half_90` is half of a 90 % interval."""
    learned, counts = lesson.learned, found.found.counts
    return {
        "found": float(learned.expected(counts[None])[0]),
        "over_best_uniform": _over(learned.over(counts, found.uniform.counts)),
        "over_dense": _over(learned.over_dense(counts)),
        "dense": learned.dense,
        "tunings": len(learned.counts),
        "judged_on": lesson.judged_on,
    }


def _over(difference: Difference) -> dict[str, float]:
    return {"mean": difference.mean, "half_90": Z90 * difference.sd}
