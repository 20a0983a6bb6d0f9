"""How a portfolio is printed."""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hdap.cli.terminal.layout import Head
    from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord
    from hdap.portfolio.build_variants import Built


def document(built: "Built") -> dict[str, Any]:
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


def show(built: "Built") -> None:
    """The portfolio as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, table

    record = built.record
    columns = [column for column in _columns() if column.wanted(record)]
    count = f"{len(record.variants)} variant{'s' * (len(record.variants) != 1)}"
    table(
        [column.head for column in columns],
        [[column.cell(variant) for column in columns] for variant in record.variants],
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


@dataclass(frozen=True)
class _Column:
    """A column of the table, there where `of` is known of any variant (None: always)."""

    head: "Head"
    cell: "Callable[[VariantRecord], str]"
    of: str | None = None

    def wanted(self, record: "PortfolioRecord") -> bool:
        name = self.of
        return name is None or any(isfinite(getattr(v, name)) for v in record.variants)


def _columns() -> list[_Column]:
    from hdap.cli.terminal.output import number, percent
    from hdap.fleet_data.costs import format_flops

    return [
        _Column(("variant", "left"), lambda v: v.variant),
        _Column(("from", "left"), lambda v: str(v.provenance["label"])),
        _Column(("FLOPs", "right"), lambda v: format_flops(v.flops)),
        _Column(("parameters", "right"), lambda v: f"{v.parameters:,}"),
        _Column(("size", "right"), lambda v: f"{v.bytes / 1e6:.2f} MB"),
        _Column(("kept importance", "right"), lambda v: number(v.kept_importance)),
        _Column(("accuracy", "right"), lambda v: percent(v.accuracy), "accuracy"),
        _Column(
            ("fleet mean, predicted", "right"), lambda v: _ms(v.fleet_mean_ms), "fleet_mean_ms"
        ),
        _Column(
            ("90 %", "right"),
            lambda v: _interval(v.fleet_mean_low_ms, v.fleet_mean_high_ms),
            "fleet_mean_ms",
        ),
        _Column(("measured here", "right"), lambda v: _ms(v.measured_here_ms), "measured_here_ms"),
    ]


def _clusters(record: "PortfolioRecord") -> None:
    from hdap.cli.terminal.output import table

    rows = zip(*(variant.clusters for variant in record.variants), strict=True)
    table(
        [("cluster", "left"), *((variant.variant, "right") for variant in record.variants)],
        [[str(row[0].cluster), *map(_cell, row)] for row in rows],
        title="latency by cluster, predicted with its 90 % interval, and measured where it was",
    )


def _cell(cluster: "VariantClusterRecord") -> str:
    from hdap.cli.terminal.output import number

    told = f"{number(cluster.predicted_ms)} ms"
    told += f" ({_interval(cluster.predicted_low_ms, cluster.predicted_high_ms)})"
    if cluster.devices:
        told += f", measured {number(cluster.measured_ms)} ms"
    return told


def _interval(low: float, high: float) -> str:
    from hdap.cli.terminal.output import number

    return f"{number(low)}-{number(high)}" if isfinite(low) else "-"


def _ms(value: float) -> str:
    from hdap.cli.terminal.output import number

    return f"{number(value)} ms" if isfinite(value) else "-"
