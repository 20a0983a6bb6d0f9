"""How a portfolio is printed."""

from collections.abc import Callable
from math import isfinite
from typing import Any

from hdap.cli.terminal.layout import Justify
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import line, show_rows, table
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord
from hdap.fleet_data.wording import amount, counted, interval, kept, latency, megabytes, percent
from hdap.portfolio.build_variants import Built
from hdap.workflows.next_commands import command_line


def document(built: Built) -> dict[str, Any]:
    """The portfolio as `--json` prints it: the manifest, where it lies and what was left out."""
    record = built.record
    written = built.document.plain()
    rest = {key: value for key, value in written.items() if key not in ("kind", "format")}
    return rest | {
        "out": record.bundle,
        "clustering": record.clustering_id,
        "compared_by": record.settings["compared_by"],
        "left_out": record.settings["left_out"],
    }


def show(built: Built) -> None:
    """The portfolio as a person reads it."""
    record = built.record
    count = counted(len(record.variants), "variant")
    show_rows(
        record.variants,
        ("variant", "left", lambda v: v.variant),
        ("from", "left", lambda v: str(v.provenance["label"])),
        ("FLOPs", "right", lambda v: format_flops(v.flops)),
        ("parameters", "right", lambda v: amount(v.parameters)),
        ("size", "right", lambda v: megabytes(v.bytes)),
        ("kept importance", "right", lambda v: kept(v.kept_importance)),
        *_column(record, "accuracy", "accuracy", lambda v: percent(v.accuracy)),
        *_column(
            record, "fleet_mean_ms", "fleet mean, predicted", lambda v: latency(v.fleet_mean_ms)
        ),
        *_column(
            record,
            "fleet_mean_ms",
            "90 % interval",
            lambda v: interval(v.fleet_mean_low_ms, v.fleet_mean_high_ms),
        ),
        *_column(
            record, "measured_here_ms", "measured here", lambda v: latency(v.measured_here_ms)
        ),
        title=f"portfolio {record.id}: {count} of {record.model}",
        optional=("parameters", "90 % interval", "kept importance"),
    )
    if record.clustering_id is not None:
        _clusters(record)
    for left in record.settings["left_out"]:
        line(f"left out: {left['variant']} ({left['label']}) {left['why']}")
    line(f"compared by {', '.join(record.settings['compared_by'])}; bundle: {record.bundle}")
    asked = f"SELECT * FROM variants WHERE portfolio_id = {record.id}"
    next_steps(command_line("portfolio", "serve", record.bundle), command_line("sql", asked))


def _column(
    record: PortfolioRecord, of: str, head: str, cell: Callable[[VariantRecord], str]
) -> list[tuple[str, Justify, Callable[[VariantRecord], str]]]:
    """A column that is there where `of` is known of any variant."""
    known = any(isfinite(getattr(variant, of)) for variant in record.variants)
    return [(head, "right", cell)] if known else []


def _clusters(record: PortfolioRecord) -> None:
    rows = zip(*(variant.clusters for variant in record.variants), strict=True)
    table(
        [("cluster", "left"), *((variant.variant, "right") for variant in record.variants)],
        [[str(row[0].cluster), *map(_cell, row)] for row in rows],
        title="latency by cluster, predicted with its 90 % interval, and measured where it was",
    )


def _cell(cluster: VariantClusterRecord) -> str:
    told = latency(cluster.predicted_ms)
    told += f" ({interval(cluster.predicted_low_ms, cluster.predicted_high_ms)})"
    if cluster.devices:
        told += f", measured {latency(cluster.measured_ms)}"
    return told
