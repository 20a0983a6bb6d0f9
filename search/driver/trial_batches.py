"""Batches of finished trials: made from evaluations, joined, cut and ranked."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Bools, Ints, TrialBatch
from hdap.search.problem.evaluation import Evaluation

Times = NDArray[np.datetime64]
_FROM_EVALUATION = tuple(
    f.name for f in fields(TrialBatch) if f.name not in ("number", "started_at", "finished_at")
)


def batch(
    evaluation: Evaluation, number: Ints, started_at: Times, finished_at: Times
) -> TrialBatch:
    """The trials `number` (n) with what was predicted of them."""
    columns = {name: getattr(evaluation, name) for name in _FROM_EVALUATION}
    return TrialBatch(number=number, started_at=started_at, finished_at=finished_at, **columns)


def joined(*batches: TrialBatch) -> TrialBatch:
    """One batch of all rows, in order; at least one batch must be given."""
    columns = {f.name: [getattr(b, f.name) for b in batches] for f in fields(TrialBatch)}
    whole: dict[str, Any] = {
        n: None if c[0] is None else np.concatenate(c) for n, c in columns.items()
    }
    return TrialBatch(**whole)


def taken(trials: TrialBatch, rows: Ints | Bools) -> TrialBatch:
    """The chosen rows."""
    return trials.take(rows)
