"""Figures as the cells of tables that are text: the report's, the commands', the API's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import (
    UNKNOWN,
    amount,
    interval,
    kept,
    latency,
    megabytes,
    percent,
    times,
)
from hdap.search.analysis.answer import Answer, AnswerRow
from hdap.search.analysis.arms import Arm

GAP = "  "
DECIDING = (
    *("network", "fleet mean", "vs dense", "kept importance", "vs best uniform", "90 % interval"),
    "fleet median",
)
Column = tuple[str, Literal["left", "right"], Callable[[AnswerRow], str]]
"""Head, side, and what stands in it for a row."""
ArmColumn = tuple[str, Literal["left", "right"], Callable[[Arm], str]]


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


def mean_and_median(row: AnswerRow) -> str:
    """The fleet's mean, and its median where they disagree: `71.25 ms, median 53.98 ms`."""
    median = f", median {latency(row.fleet_median_ms)}"
    return latency(row.fleet_mean_ms) + median * row.skewed


def network_name(row: AnswerRow) -> str:
    """What tables call a network: `uniform in 8s`, `best uniform in 16s`, `found`."""
    if row.step:
        grid = f" in {row.step}s" if row.step > 1 else ", any width"
        return f"{'best ' * row.base_line}uniform{grid}"
    return row.name if row.name in ("dense", "found") else f"{row.name}, as fast"


def answer_columns(answer: Answer, *objectives: Column, measured: str = "measured") -> list[Column]:
    """What is said of each network of an answer; `objectives` stand beside the fleet mean, and so
    does the median where it is another.

    `measured` is the word for what is not predicted: `simulated` where no device measured it.
    """
    median: Column = ("fleet median", "right", lambda x: latency(x.fleet_median_ms))
    return [
        ("network", "left", lambda x: network_name(x) + f", {measured}" * x.measured),
        ("FLOPs", "right", lambda x: format_flops(x.flops)),
        ("parameters", "right", lambda x: amount(x.parameters)),
        ("fleet mean", "right", lambda x: latency(x.fleet_mean_ms)),
        *([median] if answer.skewed else []),
        ("90 % interval", "right", lambda x: interval(x.fleet_mean_low_ms, x.fleet_mean_high_ms)),
        *objectives,
        ("p95 of devices", "right", lambda x: latency(x.fleet_p95_ms)),
        ("worst cluster", "right", lambda x: f"{latency(x.worst_cluster_ms)} ({x.worst_cluster})"),
        ("kept importance", "right", lambda x: kept(x.kept_importance)),
        ("vs dense", "right", lambda x: times(x.over_dense)),
        ("vs best uniform", "right", lambda x: times(x.over_uniform)),
    ]


def comparison(title: str, answer: Answer, measured: str = "measured") -> TextTable:
    """Dense, uniform and found beside each other, on a narrow page what decides seen first."""
    columns = answer_columns(answer, measured=measured)
    columns.sort(key=lambda column: (*DECIDING, column[0]).index(column[0]))
    heads = tuple(head + "|" * (side == "right") for head, side, _ in columns)
    rows = tuple(tuple(cell(row) for _, _, cell in columns) for row in answer.rows)
    return TextTable(title, heads, rows)


ARMS_TITLE = "each precision on the runtimes that the fleet runs in both"


def arm_columns(found: Sequence[Arm], measured: str = "measured") -> list[ArmColumn]:
    """Dense and pruned in two precisions beside each other; accuracy where any is known."""
    columns: list[ArmColumn] = [
        ("network", "left", lambda a: f"{a.network}, {a.precision}"),
        ("on", "left", lambda a: f"{', '.join(a.runtimes)} ({percent(a.weight_share, 0)})"),
        ("FLOPs", "right", lambda a: format_flops(a.flops)),
        ("weights", "right", lambda a: _weights(a)),
        ("mean latency", "right", lambda a: latency(a.latency_ms)),
        ("", "left", lambda a: measured if a.measured else "predicted"),
        ("over dense, float32", "right", lambda a: times(a.over_full)),
    ]
    if any(isfinite(arm.accuracy) for arm in found):
        columns.append(("accuracy after tuning", "right", lambda a: percent(a.accuracy)))
    return columns


def _weights(arm: Arm) -> str:
    return UNKNOWN if arm.weight_bytes is None else megabytes(arm.weight_bytes)


def arms_comparison(found: Sequence[Arm]) -> TextTable:
    """The arms as a table of text."""
    columns = arm_columns(found)
    heads = tuple(head + "|" * (side == "right") for head, side, _ in columns)
    rows = tuple(tuple(cell(arm) for _, _, cell in columns) for arm in found)
    return TextTable(ARMS_TITLE, heads, rows)
