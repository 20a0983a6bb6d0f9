"""Figures of the search benchmark over seeds: rows for the files, and the table."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from benchmarks.search.runs import Curve, cached_setting
from hdap.fleet_data.records import Floats

POINTS = 48
FIRST_SECOND = 0.02
Row = dict[str, float | str | None]


def curve_rows(curves: Sequence[Curve]) -> list[Row]:
    """Median, least and largest over seeds of the answer's ms after so many seconds."""
    rows: list[Row] = []
    for runs in _grouped(curves):
        task = runs[0].task
        for seconds in np.geomspace(FIRST_SECOND, task.seconds, POINTS):
            ms = np.array([c.after(c.at_seconds, seconds) for c in runs])
            row: Row = {"setting": task.setting, "sampler": task.sampler, "seconds": seconds}
            if not np.isnan(ms).any():
                rows.append(row | _spread("ms", ms))
    return rows


def table_rows(curves: Sequence[Curve]) -> list[Row]:
    """One row a setting and sampler.

    `faster` is by how much sooner `fleet` had an answer as good as the sampler's last one within
    the seconds, seed by seed; 0 where it never had.
    """
    fleet = {(c.task.setting, c.task.seed): c for c in curves if c.task.sampler == "fleet"}
    return [
        _row(runs, [fleet.get((c.task.setting, c.task.seed)) for c in runs])
        for runs in _grouped(curves)
    ]


def _row(runs: Sequence[Curve], fleet: Sequence[Curve | None]) -> Row:
    task = runs[0].task
    given = cached_setting(task.setting, task.step)
    last = np.array([c.after(c.at_seconds, task.seconds) for c in runs])
    equal = [c.after(c.at_scored, task.evaluations) for c in runs if task.evaluations]
    kept = [_at(c.kept, c.at_seconds, task.seconds) for c in runs]
    theirs = np.array([c.seconds_to(ms) for c, ms in zip(runs, last, strict=True)])
    ours = np.array(
        [np.nan if f is None else f.seconds_to(ms) for f, ms in zip(fleet, last, strict=True)]
    )
    faster = np.divide(theirs, ours, out=np.full(len(runs), np.nan), where=np.isfinite(theirs))
    return {
        "setting": task.setting,
        "sampler": task.sampler,
        "judged": given.judged_by,
        "seeds": len(runs),
        "uniform_ms": float(given.judge(given.problem.best_uniform.counts[None])[0]),
        "floor": given.problem.floor,
        "evaluations": task.evaluations,
        **_spread("evaluations_ms", np.array(equal or [np.nan])),
        "seconds": task.seconds,
        **_spread("seconds_ms", last),
        "kept": float(np.median(kept)),
        "rate": float(np.median([c.scored / c.seconds for c in runs])),
        "trials": float(np.median([c.trials / c.seconds * task.seconds for c in runs])),
        "reached_s": float(np.median(theirs)),
        "fleet_reached_s": float(np.median(ours)),
        "faster": float(np.median(faster)),
    }


def print_table(table: pl.DataFrame) -> None:
    """Speed-ups over the best uniform network: median over seeds and their range."""
    for name in table["setting"].unique(maintain_order=True):
        mine = table.filter(pl.col("setting") == name)
        first = mine.row(0, named=True)
        evaluations = int(mine["evaluations"].to_numpy().max())
        print(
            f"\n{name}: speed-up over the best uniform network ({first['uniform_ms']:.2f} ms), "
            f"{first['judged']}; keeping at least {first['floor']:.3f}; {first['seeds']} seeds\n"
            f"{'':<10}{'equal evaluations':>26}{'equal seconds':>26}{'kept':>8}"
            f"{'evaluations/s':>15}{'trials':>9}{'reached':>10}{'by fleet':>10}"
        )
        print(f"{'':<10}{f'{evaluations:,}':>26}{format(first['seconds'], 'g') + ' s':>26}")
        for row in mine.iter_rows(named=True):
            print(_line(row))


def _line(row: dict[str, float]) -> str:
    # A mark on answers that keep less than all others must.
    low = row["kept"] < row["floor"] * (1.0 - 1e-6)
    return (
        f"{row['sampler']:<10}{_speedup(row, 'evaluations_ms'):>26}"
        f"{_speedup(row, 'seconds_ms'):>26}{row['kept']:>7.3f}{'!' if low else ' '}"
        f"{row['rate']:>15,.0f}{row['trials']:>9,.0f}{row['reached_s']:>8.2f} s"
        f"{_faster(row['faster']):>10}"
    )


def _speedup(row: dict[str, float], name: str) -> str:
    middle, low, high = (row["uniform_ms"] / row[f"{name}{end}"] for end in ("", "_high", "_low"))
    return "-" if np.isnan(middle) else f"{middle:.4f} ({low:.3f}-{high:.3f})"


def _faster(times: float) -> str:
    if np.isnan(times):
        return "-"
    return "never" if times == 0.0 else f"{times:,.1f} x"


def _spread(name: str, values: Floats) -> Row:
    return {
        name: float(np.median(values)),
        f"{name}_low": float(values.min()),
        f"{name}_high": float(values.max()),
    }


def _at(values: Floats, axis: Floats, limit: float) -> float:
    had = np.flatnonzero(axis <= limit)
    return float(values[had[-1]]) if len(had) else np.nan


def _grouped(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Runs of one setting and sampler together."""
    found: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        found.setdefault((curve.task.setting, curve.task.sampler), []).append(curve)
    return list(found.values())
