"""Some trials of a batch."""

from dataclasses import fields
from typing import Any

from hdap.fleet_data.records import Bools, Ints, TrialBatch


def taken(trials: TrialBatch, rows: Ints | Bools) -> TrialBatch:
    """The chosen rows."""
    columns = {f.name: getattr(trials, f.name) for f in fields(TrialBatch)}
    chosen: dict[str, Any] = {n: None if c is None else c[rows] for n, c in columns.items()}
    return TrialBatch(**chosen)
