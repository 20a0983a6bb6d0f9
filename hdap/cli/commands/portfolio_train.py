"""`hdap portfolio train`: one network, ever sparser, for the variants of a portfolio."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from hdap.cli.settings.training_commands import PortfolioTrainCommand
from hdap.cli.tables.training_watch import read_data, watching
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, say, show_rows
from hdap.fleet_data.wording import number, percent, seconds
from hdap.networks.checkpoint import start_network
from hdap.networks.manifest import NetworkManifest, read_manifest
from hdap.networks.prune_plan import WeightsSource
from hdap.portfolio.rewinding import go_on, train_levels
from hdap.portfolio.sparse_training import SparseLevelRecord, read_record, resumable
from hdap.requests.setting import build
from hdap.requests.training_request import SparseTraining
from hdap.training.training_session import TrainingWatch
from hdap.workflows.next_commands import command_line, free_name, model_flag


def run(asked: PortfolioTrainCommand) -> None:
    """Train from the start, or go on with what `--out` holds, and print all levels."""
    wanted, done = asked.wanted, list[SparseLevelRecord]()
    if asked.resume:
        record = read_record(wanted.out)
        stored = {name: getattr(record, name) for name in ("recipe", "rate", "rewind", "scope")}
        stored["levels"] = record.asked
        wanted = build(SparseTraining, asked.given, default=replace(wanted, **stored))
        done = list(resumable(wanted).levels)
        manifest: NetworkManifest = read_manifest(wanted.out / done[-1].name)
    else:
        source = WeightsSource(asked.weights, asked.pretrained, wanted.recipe.seed)
        start = start_network(None, asked.model, source, wanted.recipe.seed)
        manifest = start.manifest
    model = manifest.model
    with open_store(asked.db, figures=False) as store, ExitStack() as bars:
        data = read_data(wanted, model, manifest.input_shape, wanted.recipe.seed)

        def watch(number: int) -> TrainingWatch:
            bars.close()
            say("training the dense network" if not number else f"level {number}")
            return bars.enter_context(watching(wanted, store))

        if asked.resume:
            say(f"resuming after {done[-1].name}")
            levels = go_on(data, wanted, watch, model=asked.model)
        else:
            levels = train_levels(start, data, wanted, watch, force=asked.force)
        for level in levels:
            done.append(level)
            say(
                f"{level.name}: {percent(level.density)} of the weights left, "
                f"accuracy {percent(level.accuracy)}"
            )
    emit_json(document(wanted, model, done)) if asked.as_json else show(wanted, model, done)


def document(wanted: SparseTraining, model: str, levels: list[SparseLevelRecord]) -> dict[str, Any]:
    """What was trained as `--json` prints it."""
    return {
        "model": model,
        "out": str(wanted.out),
        "data": wanted.data,
        "recipe": asdict(wanted.recipe),
        "rate": wanted.rate,
        "rewind": wanted.rewind_to,
        "scope": wanted.scope,
        "levels": [asdict(level) for level in levels],
    }


def show(wanted: SparseTraining, model: str, levels: list[SparseLevelRecord]) -> None:
    """What was trained as a person reads it."""
    show_rows(
        levels,
        ("level", "left", lambda x: x.name),
        ("weights left", "right", lambda x: f"{x.weights:,}"),
        ("share", "right", lambda x: percent(x.density, 2)),
        ("accuracy", "right", lambda x: percent(x.accuracy)),
        ("loss", "right", lambda x: number(x.validation_loss)),
        ("training", "right", lambda x: seconds(x.seconds)),
        title=f"{model} on validation images",
    )
    line(
        f"{seconds(sum(level.seconds for level in levels))} of training; each level loses "
        f"{percent(wanted.rate, 0)} of its weights ({wanted.scope}) and goes back to "
        f"epoch {wanted.rewind_to}"
    )
    bundle = free_name(f"{wanted.out}-bundle")
    build = ("portfolio", "build", "--sparse", wanted.out, "--out", bundle)
    next_steps(command_line(*build, *model_flag(model)))
