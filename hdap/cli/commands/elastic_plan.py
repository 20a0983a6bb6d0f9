"""`hdap elastic plan`: the levels of an elastic network, from the fleet and not by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.workflows.plan_levels import LevelPlan

NAME = "plan"


def run(
    model: Annotated[str, typer.Option("--model", help="A timm name, or package.module:factory.")],
    target_latency: Annotated[
        str,
        typer.Option(
            "--target-latency", help="What every cluster meets at every clock, such as 30ms."
        ),
    ],
    clocks: Annotated[
        str, typer.Option("--clocks", help="Clocks over each cluster's typical one, by commas.")
    ] = "0.4,0.6,0.8,1.0",
    min_levels: Annotated[int, typer.Option("--min-levels", help="At least so many levels.")] = 1,
    max_levels: Annotated[
        int, typer.Option("--max-levels", help="Look at no more levels than this (at most 16).")
    ] = 5,
    flops_range: Annotated[
        str | None,
        typer.Option("--flops-range", help="FLOPs of all levels, 0.5G-2.4G or 10%-60%."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write levels.json for training and devices.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            exists=True,
            dir_okay=False,
            help="State dict (.pt, .pth, .safetensors) whose channel importance the levels keep.",
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Take the importance from timm's own weights.")
    ] = False,
    step: Annotated[
        int, typer.Option("--step", help="Channels move in such steps. 0: the one that pays.")
    ] = 0,
    min_width: Annotated[
        int | None, typer.Option("--min-width", help="No group below so many channels.")
    ] = None,
    risk: Annotated[
        float, typer.Option("--risk", help="Standard deviations of doubt added to a latency.")
    ] = 1.0,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", help="Mean kept importance that one more level must add to be advised."
        ),
    ] = 0.02,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Search nested levels so that every cluster meets one latency at every clock.

    Every level is a prefix of the next, so one set of weights holds all of them. Says how many are
    worth having, and stores which serves which cluster at which clock.
    """
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, progress_bar, say
    from hdap.fleet_data.documents import write_document
    from hdap.requests.plan_request import LevelRequest
    from hdap.workflows.plan_levels import level_file, plan_levels

    request = LevelRequest(
        model,
        target_latency,
        clocks,
        min_levels,
        max_levels,
        flops_range,
        step,
        min_width,
        risk,
        threshold,
        seed,
    )
    with open_store(db, create=False) as store, progress_bar("searching levels") as bar:
        plan = plan_levels(
            store, request, weights, pretrained, say, lambda done, total: bar(done, total, "")
        )
    if out is not None:
        write_document(out, level_file(plan))
    emit_json(document(plan)) if as_json else show(plan, out)


def document(plan: "LevelPlan") -> dict[str, Any]:
    """The plan as `--json` prints it: levels.json and how many levels are worth having."""
    from hdap.workflows.plan_levels import level_file

    written = level_file(plan).plain()
    return {name: value for name, value in written.items() if name != "digest"} | {
        "latency": "predicted",
        "advised": plan.found.advised,
        "advice": plan.found.words,
        "threshold": plan.found.threshold,
        "choices": list(plan.record.settings["choices"]),
    }


def show(plan: "LevelPlan", out: Path | None) -> None:
    """The plan as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, percent, table
    from hdap.fleet_data.costs import format_flops

    record = plan.record
    table(
        [(name, "right") for name in ("level", "FLOPs", "parameters", "kept", "accuracy")],
        [
            [
                f"{x.level}",
                format_flops(x.flops),
                f"{x.parameters / 1e6:.2f} M",
                percent(x.kept_importance),
                percent(x.accuracy),
            ]
            for x in record.levels
        ],
        title=f"{record.model}: {len(record.levels)} levels, each a prefix of the next",
    )
    _show_points(plan)
    table(
        [(name, "right") for name in ("levels", "mean kept", "worst kept")],
        [[f"{len(c)}", percent(c.mean_kept), percent(c.worst_kept)] for c in plan.found.chains],
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


def _show_points(plan: "LevelPlan") -> None:
    from hdap.cli.terminal.output import number, percent, table

    record = plan.record
    kept = {level.level: level.kept_importance for level in record.levels}
    accuracy = {level.level: level.accuracy for level in record.levels}
    widest = len(record.levels) - 1
    largest = {(p.cluster, p.clock): p.latency_ms for p in record.points if p.level == widest}
    table(
        [
            (name, "right")
            for name in (
                "cluster",
                "clock",
                "largest ms",
                "level",
                "predicted ms",
                "90 %",
                "kept",
                "accuracy",
            )
        ],
        [
            [
                f"{p.cluster}",
                f"{100 * p.clock:g} %",
                number(largest[p.cluster, p.clock]),
                f"{p.level}",
                number(p.latency_ms),
                f"{number(p.latency_low_ms)}-{number(p.latency_high_ms)}",
                percent(kept[p.level]),
                percent(accuracy[p.level]),
            ]
            for p in record.points
            if p.chosen
        ],
        title=f"Which level meets {number(record.target_ms)} ms, predicted",
        optional=("accuracy", "largest ms"),
    )
