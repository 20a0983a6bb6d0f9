"""How a portfolio is printed."""

from collections.abc import Callable
from math import isfinite
from typing import Any

from hdap.cli.terminal.layout import Justify
from hdap.cli.terminal.output import line, next_steps, number, percent, show_rows, table
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord
from hdap.portfolio.build_variants import Built


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
    count = f"{len(record.variants)} variant{'s' * (len(record.variants) != 1)}"
    show_rows(
        record.variants,
        ("variant", "left", lambda v: v.variant),
        ("from", "left", lambda v: str(v.provenance["label"])),
        ("FLOPs", "right", lambda v: format_flops(v.flops)),
        ("parameters", "right", lambda v: f"{v.parameters:,}"),
        ("size", "right", lambda v: f"{v.bytes / 1e6:.2f} MB"),
        ("kept importance", "right", lambda v: number(v.kept_importance)),
        *_column(record, "accuracy", "accuracy", lambda v: percent(v.accuracy)),
        *_column(record, "fleet_mean_ms", "fleet mean, predicted", lambda v: _ms(v.fleet_mean_ms)),
        *_column(
            record,
            "fleet_mean_ms",
            "90 %",
            lambda v: _interval(v.fleet_mean_low_ms, v.fleet_mean_high_ms),
        ),
        *_column(record, "measured_here_ms", "measured here", lambda v: _ms(v.measured_here_ms)),
        title=f"portfolio {record.id}: {count} of {record.model}",
        optional=("parameters", "90 %", "kept importance"),
    )
    if record.clustering_id is not None:
        _clusters(record)
    for left in record.settings["left_out"]:
        line(f"left out: {left['variant']} ({left['label']}) {left['why']}")
    line(f"compared by {', '.join(record.settings['compared_by'])}; bundle: {record.bundle}")
    next_steps(
        f"hdap portfolio serve {record.bundle}",
        f'hdap sql "SELECT * FROM variants WHERE portfolio_id = {record.id}"',
    )


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
    told = f"{number(cluster.predicted_ms)} ms"
    told += f" ({_interval(cluster.predicted_low_ms, cluster.predicted_high_ms)})"
    if cluster.devices:
        told += f", measured {number(cluster.measured_ms)} ms"
    return told


def _interval(low: float, high: float) -> str:
    return f"{number(low)}-{number(high)}" if isfinite(low) else "-"


def _ms(value: float) -> str:
    return f"{number(value)} ms" if isfinite(value) else "-"
