"""Data frames in and out: what the Python API takes and gives beside records."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.ingest.blocks import REJECT_SCHEMA
from hdap.fleet_data.ingest.ingest_file import IngestReport
from hdap.fleet_data.records import ClusteringRecord, QueryResult, TrialBatch
from hdap.fleet_data.store import Store
from hdap.requests.ingest_request import IngestRequest
from hdap.workflows.ingest_as_asked import as_asked

FIGURES = (
    *("number", "flops", "parameters", "fleet_mean_ms", "fleet_mean_low_ms", "fleet_mean_high_ms"),
    *("fleet_p95_ms", "ucb_ms", "worst_cluster_ms", "worst_cluster", "kept_importance", "feasible"),
)
CLUSTER_FIGURES = (
    *("cluster", "devices", "weight_share", "relative_latency", "spread", "stability"),
    "description",
)


@dataclass(frozen=True)
class Ingested(IngestReport):
    """What an ingest did; `rejected_rows` has line (of a frame the row, from 1), column, reason and
    value of each row that did not enter."""

    rejected_rows: pl.DataFrame


def ingest_telemetry(
    store: Store,
    telemetry: Any,
    request: IngestRequest,
    say: Say,
    progress: Callable[[int, int | None], None],
) -> Ingested:
    """Load a file, or rows that polars can take: a frame of polars or pandas, a pyarrow table.

    Rejected rows of a file are in `FILE.rejected.csv` too. Raises InputError where it is neither,
    is wrong as a whole, or holds more rows to reject than the `request` allows.
    """
    load = partial(as_asked(request, say), store, progress=progress)
    if isinstance(telemetry, str | Path):
        report = load(telemetry)
        return _with_rejected(report, report.rejected_path)
    frame = as_polars(telemetry)
    with tempfile.TemporaryDirectory() as folder:
        report = load(frame, rejected_path=Path(folder) / "rejected.csv")
        found = _with_rejected(report, report.rejected_path)
    return Ingested(**vars(found) | {"rejected_path": None})


def _with_rejected(report: IngestReport, path: Path | None) -> Ingested:
    schema: Mapping[str, Any] = REJECT_SCHEMA
    empty = pl.DataFrame(schema=schema)
    rows = empty if path is None else pl.read_csv(path, schema_overrides=schema)
    return Ingested(**vars(report), rejected_rows=rows)


def as_polars(rows: Any) -> pl.DataFrame:
    """Raises InputError for what is no table."""
    try:
        return pl.DataFrame(rows, nan_to_null=True)
    except Exception as error:  # polars, pyarrow and pandas each have their own
        raise InputError(
            f"telemetry must be a path, or a frame of polars, pandas or pyarrow, but got a "
            f"{type(rows).__name__} ({told(error)}): convert it"
        ) from error


def query_frame(found: QueryResult) -> pl.DataFrame:
    """Rows of a statement, typed by all of them."""
    return pl.DataFrame(found.rows, schema=found.columns, orient="row", infer_schema_length=None)


def clusters_frame(found: ClusteringRecord) -> pl.DataFrame:
    """One row a cluster, and the devices that stand for it."""
    rows = [{name: getattr(c, name) for name in CLUSTER_FIGURES} for c in found.clusters]
    chosen = [
        found.device_ids[found.representative & (found.cluster == c.cluster)].tolist()
        for c in found.clusters
    ]
    return pl.DataFrame(rows).with_columns(pl.Series("representatives", chosen, pl.List(pl.String)))


def trials_frame(architecture: Architecture, trials: TrialBatch) -> pl.DataFrame:
    """One row a trial: its figures (latencies predicted), then one column a width group."""
    figures = {name: getattr(trials, name) for name in FIGURES}
    if trials.accuracy is not None:
        figures["accuracy"] = trials.accuracy
    counts = {group.name: trials.counts[:, i] for i, group in enumerate(architecture.groups)}
    return pl.DataFrame(figures | counts)
