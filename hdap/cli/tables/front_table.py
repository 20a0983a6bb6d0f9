"""How a Pareto front of several objectives is printed, by `hdap search` and `hdap trials`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hdap.cli.terminal.output import line, table
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import interval, kept, latency, percent
from hdap.search.analysis.pareto_front import FrontRow
from hdap.search.problem.objectives import ACCURACY, FLOPS, KEPT, Goals, Objective

ROWS = 12
"""A front is printed in so many rows, spread over it evenly."""


def show_front(goals: Goals, rows: Sequence[FrontRow], title: str, limit: int) -> None:
    """The front by its first objective, at most `limit` rows of it; the balanced one is marked."""
    chosen, names = _spread(rows, limit), goals.names
    table(
        [
            ("trial", "right"),
            *((_head(*goal), "right") for goal in zip(names, goals.objectives, strict=True)),
            *((name, "right") for name in _others(names)),
            ("", "left"),
        ],
        [
            [
                str(row.number),
                *(_cell(*c) for c in zip(names, goals.objectives, row.shown, strict=True)),
                latency(row.fleet_mean_ms),
                interval(row.fleet_mean_low_ms, row.fleet_mean_high_ms),
                *([] if FLOPS in names else [format_flops(row.flops)]),
                *([] if KEPT in names else [kept(row.kept_importance)]),
                "balanced" if row.balanced else "",
            ]
            for row in chosen
        ],
        title=title,
        optional=("90 % interval", "FLOPs", "kept importance"),
    )
    if len(chosen) < len(rows):
        line(f"{len(chosen)} of the {len(rows):,} networks on the front, evenly spread")


def documents(names: Sequence[str], rows: Sequence[FrontRow]) -> list[dict[str, Any]]:
    """The front as `--json` prints it; `cautious` holds the objectives with doubt on top."""
    plain = [asdict(row) | {"cautious": dict(zip(names, row.shown, strict=True))} for row in rows]
    return [{k: v for k, v in row.items() if k not in ("values", "shown")} for row in plain]


def _spread(rows: Sequence[FrontRow], limit: int) -> list[FrontRow]:
    if len(rows) <= limit:
        return list(rows)
    places = {round(i * (len(rows) - 1) / max(limit - 1, 1)) for i in range(limit)}
    balanced = next((i for i, row in enumerate(rows) if row.balanced), 0)
    nearest = min(places, key=lambda place: abs(place - balanced))
    return [rows[i] for i in sorted(places - {nearest} | {balanced})]


def _others(names: Sequence[str]) -> list[str]:
    rest = [] if FLOPS in names else ["FLOPs"]
    return ["fleet mean", "90 % interval", *rest, *([] if KEPT in names else ["kept importance"])]


def _head(name: str, objective: Objective | None) -> str:
    if objective is not None:
        return f"{objective.title}, cautious"
    return {KEPT: "kept importance", FLOPS: "FLOPs", ACCURACY: "accuracy, untuned"}[name]


def _cell(name: str, objective: Objective | None, value: float) -> str:
    if name == FLOPS:
        return format_flops(round(value))
    if name == KEPT:
        return kept(value)
    in_ms = objective is not None and objective.unit == "ms"
    return latency(value) if in_ms else percent(value)
