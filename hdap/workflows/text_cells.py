"""Figures as the cells of tables that are text: the report's, and those of the Python API."""

from dataclasses import dataclass

from hdap.fleet_data.costs import format_flops
from hdap.search.analysis.answer import Answer

GAP = "  "
HEADS = (
    *("network", "FLOPs|", "parameters|", "fleet mean|", "90 % interval|", "p95 of devices|"),
    *("worst cluster|", "kept importance|", "vs dense|", "vs uniform|"),
)


@dataclass(frozen=True, repr=False)
class TextTable:
    """Cells are plain text; a head that ends in `|` aligns its column to the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [tuple(head.rstrip("|") for head in self.heads), *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            GAP.join(
                cell.rjust(width) if head.endswith("|") else cell.ljust(width)
                for cell, width, head in zip(line, widths, self.heads, strict=True)
            ).rstrip()
            for line in lines
        ]
        rule = GAP.join("-" * width for width in widths)
        return "\n".join([self.title, aligned[0], rule, *aligned[1:]])

    __repr__ = __str__


def latency(value: float) -> str:
    """Milliseconds; NaN as a dash."""
    return f"{value:.2f} ms" if value == value else "-"


def interval(low: float, high: float) -> str:
    """Ends of an interval; NaN as a dash."""
    return f"{low:.2f}-{high:.2f}" if low == low and high == high else "-"


def share(value: float, digits: int = 0) -> str:
    """A fraction as a percentage; NaN as a dash."""
    return f"{100 * value:.{digits}f} %" if value == value else "-"


def comparison(title: str, answer: Answer, measured: str = "measured") -> TextTable:
    """Dense, uniform and found beside each other; `measured` is the word for what is not predicted,
    `simulated` where no device measured it."""
    rows = tuple(
        (
            row.name + (f", {measured}" if row.measured else ""),
            format_flops(row.flops),
            f"{row.parameters / 1e6:.2f} M",
            latency(row.fleet_mean_ms),
            interval(row.fleet_mean_low_ms, row.fleet_mean_high_ms),
            latency(row.fleet_p95_ms),
            f"{latency(row.worst_cluster_ms)} ({row.worst_cluster})",
            f"{row.kept_importance:.3f}",
            f"{row.over_dense:.2f}x",
            f"{row.over_uniform:.2f}x",
        )
        for row in answer.rows
    )
    return TextTable(title, HEADS, rows)
