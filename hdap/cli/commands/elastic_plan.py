"""`hdap elastic plan`: the levels of an elastic network, from the fleet and not by hand."""

from pathlib import Path
from typing import Any

from hdap.cli.settings.training_commands import ElasticPlanCommand
from hdap.cli.terminal.next_steps import next_steps, with_yours
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, note, progress_bar, say, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.records import LevelPlanRecord
from hdap.fleet_data.wording import amount, counted, interval, kept, latency, percent
from hdap.workflows.next_commands import command_line, free_name
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
        ("parameters", "right", lambda x: amount(x.parameters)),
        ("kept importance", "right", lambda x: kept(x.kept_importance)),
        ("accuracy", "right", lambda x: percent(x.accuracy)),
        title=f"{record.model}: {counted(len(record.levels), 'level')}, each a prefix of the next",
    )
    _show_points(plan)
    show_rows(
        plan.found.chains,
        ("levels", "right", lambda c: f"{len(c)}"),
        ("mean kept importance", "right", lambda c: kept(c.mean_kept)),
        ("worst kept importance", "right", lambda c: kept(c.worst_kept)),
        title="How many levels are worth having",
    )
    line(plan.found.words)
    if out is None:
        note("not written: --out levels.json keeps them for training and for devices")
        return
    line(f"written: {out}")
    _offer(record, out)


def _offer(record: LevelPlanRecord, out: Path) -> None:
    """What can be done with these levels: the dense network is measured anyway, and it takes two
    to be elastic."""
    these = ("--model", record.model, "--levels", out)
    if any(level.channels for level in record.levels):
        next_steps(command_line("plan", *these, "--out", free_name("bundles")))
    else:
        note("the dense network is in time everywhere: a shorter --target-latency needs levels")
    if len(record.levels) > 1:
        train = command_line("elastic", "train", *these, "--data", "IMAGES", "--out")
        with_yours("IMAGES", f"{train} {free_name('elastic')}")


def _show_points(plan: LevelPlan) -> None:

    record = plan.record
    importance = {level.level: level.kept_importance for level in record.levels}
    accuracy = {level.level: level.accuracy for level in record.levels}
    widest = len(record.levels) - 1
    largest = {(p.cluster, p.clock): p.latency_ms for p in record.points if p.level == widest}
    show_rows(
        [p for p in record.points if p.chosen],
        ("cluster", "right", lambda p: f"{p.cluster}"),
        ("clock", "right", lambda p: f"{100 * p.clock:g} %"),
        ("widest level", "right", lambda p: latency(largest[p.cluster, p.clock])),
        ("level", "right", lambda p: f"{p.level}"),
        ("predicted", "right", lambda p: latency(p.latency_ms)),
        ("90 % interval", "right", lambda p: interval(p.latency_low_ms, p.latency_high_ms)),
        ("kept importance", "right", lambda p: kept(importance[p.level])),
        ("accuracy", "right", lambda p: percent(accuracy[p.level])),
        title=f"Which level meets {latency(record.target_ms)}, predicted",
        optional=("accuracy", "widest level"),
    )
