"""`hdap cluster`: which devices are alike."""

from math import isnan
from typing import Any

from hdap.cli.settings.fleet_commands import ClusterCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, progress_bar, say, show_rows
from hdap.fleet_data.records import ClusteringRecord
from hdap.fleet_data.wording import UNKNOWN, counted, percent, times
from hdap.workflows.fleet_artifacts import ensure_clustering
from hdap.workflows.next_commands import for_models


def run(asked: ClusterCommand) -> None:
    """Cluster anew and print what was found."""
    with open_store(asked.db, create=False) as store, progress_bar("clustering") as bar:
        record = ensure_clustering(
            store, say, asked.choice, lambda done, total: bar(done, total, "")
        )
        steps = [] if asked.as_json else for_models(store)
    if asked.as_json:
        emit_json(document(record))
        return
    show(record)
    next_steps("hdap devices --outliers" if record.outlier.any() else "hdap devices", *steps)


def document(record: ClusteringRecord) -> dict[str, Any]:
    """The clustering as `--json` prints it."""
    return {
        "clustering": record.id,
        "algorithm": record.algorithm,
        "parameters": dict(record.parameters),
        "seed": record.seed,
        "devices": len(record.device_ids),
        "stability": record.stability,
        "outliers": record.device_ids[record.outlier].tolist(),
        "clusters": [
            {
                "cluster": c.cluster,
                "devices": c.devices,
                "weight_share": c.weight_share,
                "relative_latency": c.relative_latency,
                "spread": c.spread,
                "stability": c.stability,
                "description": c.description,
                "representatives": _representatives(record, c.cluster),
            }
            for c in record.clusters
        ],
    }


def _representatives(record: ClusteringRecord, cluster: int) -> list[str]:
    chosen = record.representative & (record.cluster == cluster)
    return [str(device) for device in record.device_ids[chosen]]


def show(record: ClusteringRecord) -> None:
    """The clustering as a person reads it."""
    show_rows(
        record.clusters,
        ("cluster", "right", lambda c: f"{c.cluster}"),
        ("devices", "right", lambda c: f"{c.devices:,}"),
        ("weight", "right", lambda c: percent(c.weight_share)),
        ("latency vs fleet", "right", lambda c: times(c.relative_latency)),
        ("spread inside", "right", lambda c: percent(c.spread)),
        ("stability", "right", lambda c: UNKNOWN if isnan(c.stability) else f"{c.stability:.2f}"),
        ("what is special", "left", lambda c: c.description),
        ("representatives", "left", lambda c: ", ".join(_representatives(record, c.cluster))),
        title=f"Clustering {record.id} by {record.algorithm}",
        optional=("representatives", "stability", "spread inside"),
    )
    outliers = [str(device) for device in record.device_ids[record.outlier]]
    if outliers:
        shown = ", ".join(outliers[:10]) + (" ..." if len(outliers) > 10 else "")
        line(
            f"{counted(len(outliers), 'outlier')} (each counts in the fleet mean with its nearest "
            f"cluster): "
            f"{shown}"
        )
    if not isnan(record.stability):
        line(
            f"stability {record.stability:.2f}: mean adjusted Rand index of resampled clusterings "
            "(1 = always the same)"
        )
