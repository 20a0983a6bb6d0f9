"""What an ingest did."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class IngestReport:
    """The summary of one source.

    `rows = added + known + sum(rejected.values())`; `known` rows were stored before or stand
    twice in the source. `rejected` counts rows by "column: reason". `devices`, `models` and
    `configurations` count what the accepted rows are about, `first_at` and `last_at` their time
    span. `undescribed_models` have no architecture in the store: their dense rows are kept.
    """

    source: str
    rows: int
    added: int
    known: int
    rejected: Mapping[str, int]
    new_devices: int
    devices: int
    models: tuple[str, ...]
    new_configurations: int
    configurations: int
    first_at: datetime | None
    last_at: datetime | None
    extra_columns: tuple[str, ...]
    undescribed_models: tuple[str, ...]
    rejected_path: Path | None
    seconds: float
