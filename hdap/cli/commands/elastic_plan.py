"""`hdap elastic plan`: the levels of an elastic network, from the fleet and not by hand."""

from pathlib import Path
from typing import Any

from hdap.cli.settings.training_commands import ElasticPlanCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import (
    emit_json,
    line,
    next_steps,
    number,
    percent,
    progress_bar,
    say,
    show_rows,
)
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.documents import write_document
from hdap.workflows.plan_levels import LevelPlan, level_file, plan_levels


def run(asked: ElasticPlanCommand) -> None:
    """Search the levels, write them where asked, and print them."""
    with open_store(asked.db, create=False) as store, progress_bar("searching levels") as bar:
        plan = plan_levels(
            store,
            asked.request,
            asked.weights,
            asked.pretrained,
            say,
            lambda done, total: bar(done, total, ""),
        )
    if asked.out is not None:
        write_document(asked.out, level_file(plan))
    emit_json(document(plan)) if asked.as_json else show(plan, asked.out)


def document(plan: LevelPlan) -> dict[str, Any]:
    """The plan as `--json` prints it: levels.json and how many levels are worth having."""

    written = level_file(plan).plain()
    return {name: value for name, value in written.items() if name != "digest"} | {
        "latency": "predicted",
        "advised": plan.found.advised,
        "advice": plan.found.words,
        "threshold": plan.found.threshold,
        "choices": list(plan.record.settings["choices"]),
    }


def show(plan: LevelPlan, out: Path | None) -> None:
    """The plan as a person reads it."""

    record = plan.record
    show_rows(
        record.levels,
        ("level", "right", lambda x: f"{x.level}"),
        ("FLOPs", "right", lambda x: format_flops(x.flops)),
        ("parameters", "right", lambda x: f"{x.parameters / 1e6:.2f} M"),
        ("kept", "right", lambda x: percent(x.kept_importance)),
        ("accuracy", "right", lambda x: percent(x.accuracy)),
        title=f"{record.model}: {len(record.levels)} levels, each a prefix of the next",
    )
    _show_points(plan)
    show_rows(
        plan.found.chains,
        ("levels", "right", lambda c: f"{len(c)}"),
        ("mean kept", "right", lambda c: percent(c.mean_kept)),
        ("worst kept", "right", lambda c: percent(c.worst_kept)),
        title="How many levels are worth having",
    )
    line(plan.found.words)
    file = out or "levels.json"
    if out is not None:
        line(f"written: {out}")
    next_steps(
        f"hdap elastic train --model {record.model} --levels {file} --data DATA --out CHECKPOINT",
        f"hdap plan --model {record.model} --levels {file} --out bundles",
    )


def _show_points(plan: LevelPlan) -> None:

    record = plan.record
    kept = {level.level: level.kept_importance for level in record.levels}
    accuracy = {level.level: level.accuracy for level in record.levels}
    widest = len(record.levels) - 1
    largest = {(p.cluster, p.clock): p.latency_ms for p in record.points if p.level == widest}
    show_rows(
        [p for p in record.points if p.chosen],
        ("cluster", "right", lambda p: f"{p.cluster}"),
        ("clock", "right", lambda p: f"{100 * p.clock:g} %"),
        ("largest ms", "right", lambda p: number(largest[p.cluster, p.clock])),
        ("level", "right", lambda p: f"{p.level}"),
        ("predicted ms", "right", lambda p: number(p.latency_ms)),
        ("90 %", "right", lambda p: f"{number(p.latency_low_ms)}-{number(p.latency_high_ms)}"),
        ("kept", "right", lambda p: percent(kept[p.level])),
        ("accuracy", "right", lambda p: percent(accuracy[p.level])),
        title=f"Which level meets {number(record.target_ms)} ms, predicted",
        optional=("accuracy", "largest ms"),
    )
