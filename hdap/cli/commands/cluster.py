"""`hdap cluster`: which devices are alike."""

from math import isnan
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.fleet_data.records import ClusteringRecord

NAME = "cluster"


def run(
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="hdbscan, dbscan, kmeans or gmm.")
    ] = "hdbscan",
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", min=1, help="How many (kmeans, gmm); chosen by itself if left out."
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=0, help="Resamples that the stability is judged by.")
    ] = 20,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Group devices that behave alike, from telemetry alone, and name the outliers."""
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import progress_bar, say
    from hdap.workflows.artifacts import ClusteringChoice, ensure_clustering

    choice = ClusteringChoice(algorithm, clusters, resamples, seed)
    with open_store(db, create=False) as store, progress_bar("clustering") as bar:
        record = ensure_clustering(store, say, choice, lambda done, total: bar(done, total, ""))
    if as_json:
        from hdap.cli.terminal.output import emit_json

        emit_json(document(record))
    else:
        show(record)


def document(record: "ClusteringRecord") -> dict[str, Any]:
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


def _representatives(record: "ClusteringRecord", cluster: int) -> list[str]:
    chosen = record.representative & (record.cluster == cluster)
    return [str(device) for device in record.device_ids[chosen]]


def show(record: "ClusteringRecord") -> None:
    """The clustering as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, percent, table

    table(
        [
            ("cluster", "right"),
            ("devices", "right"),
            ("weight", "right"),
            ("latency vs fleet", "right"),
            ("spread inside", "right"),
            ("stability", "right"),
            ("what is special", "left"),
            ("representatives", "left"),
        ],
        [
            [
                f"{c.cluster}",
                f"{c.devices:,}",
                percent(c.weight_share),
                f"{c.relative_latency:.2f}x",
                percent(c.spread),
                "-" if isnan(c.stability) else f"{c.stability:.2f}",
                c.description,
                ", ".join(_representatives(record, c.cluster)),
            ]
            for c in record.clusters
        ],
        title=f"Clustering {record.id} by {record.algorithm}",
        optional=("representatives", "stability", "spread inside"),
    )
    outliers = [str(device) for device in record.device_ids[record.outlier]]
    if outliers:
        shown = ", ".join(outliers[:10]) + (" ..." if len(outliers) > 10 else "")
        line(
            f"{len(outliers):,} outliers (they count in the fleet mean with the nearest cluster): "
            f"{shown}"
        )
    if not isnan(record.stability):
        line(
            f"stability {record.stability:.2f}: mean adjusted Rand index of resampled clusterings "
            "(1 = always the same)"
        )
    next_steps("hdap devices --outliers" if outliers else "hdap devices", "hdap fit --model MODEL")
