"""`hdap portfolio train`: one network, ever sparser, for the variants of a portfolio."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options import recipe_options as options
from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug

if TYPE_CHECKING:
    from hdap.networks.checkpoint import Checkpoint
    from hdap.portfolio.sparse_training import SparseTraining
    from hdap.portfolio.training_record import SparseLevelRecord

NAME = "train"


def run(
    data: options.DataName,
    out: Annotated[Path, typer.Option("--out", help="Folder for the levels, a checkpoint each.")],
    model: Annotated[
        str | None,
        typer.Option("--model", help="A timm name, or package.module:factory."),
    ] = None,
    levels: Annotated[
        int, typer.Option("--levels", min=1, help="Sparse levels after the dense one.")
    ] = 25,
    rate: Annotated[
        float | None,
        typer.Option("--rate", help="Part of the weights left that a level loses.  [default: 0.2]"),
    ] = None,
    rewind: Annotated[
        int | None,
        typer.Option(
            "--rewind",
            help="Epoch whose weights every level goes back to; 0: the first ones.  [default: 1]",
        ),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope",
            help="Smallest weights of the whole network (global) or of each layer (layer).  "
            "[default: global]",
        ),
    ] = None,
    weights: options.StartWeights = None,
    pretrained: options.StartPretrained = False,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    accumulation: options.Accumulation = None,
    optimizer: options.Optimizer = None,
    lr: options.Lr = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    schedule: options.Schedule = None,
    warmup_epochs: options.WarmupEpochs = None,
    label_smoothing: options.LabelSmoothing = None,
    clip_norm: options.ClipNorm = None,
    amp: options.Amp = None,
    validation_share: options.ValidationShare = 0.1,
    unreadable: options.Unreadable = "stop",
    workers: options.Workers = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last level in --out that is complete.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a sparse training that is in --out.")
    ] = False,
    db: Db = DEFAULT_DB,
    seed: options.TrainingSeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Iterative magnitude pruning with rewinding: every level keeps fewer weights, all are kept.

    Each level takes as long as a training. The zeros of a level become a smaller dense network
    without more training: hdap portfolio build. Convolutions and linear layers become sparse;
    biases, norms and the output layer do not.
    """
    from hdap.networks.checkpoint import start_network
    from hdap.networks.prune_plan import WeightsSource
    from hdap.portfolio.sparse_training import SparseTraining
    from hdap.portfolio.training_record import read_record
    from hdap.requests.recipe import Recipe

    begun = read_record(out) if resume else None
    recipe = options.recipe_of(
        Recipe() if begun is None else begun.recipe,
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        optimizer=optimizer,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup_epochs=warmup_epochs,
        label_smoothing=label_smoothing,
        clip_norm=clip_norm,
        amp=amp,
        seed=seed,
    )
    given = {"rate": rate, "rewind": rewind, "scope": scope}
    stored = {} if begun is None else {name: getattr(begun, name) for name in given}
    asked = stored | {name: value for name, value in given.items() if value is not None}
    wanted = SparseTraining(
        out, data, recipe, workers=options.readers(workers, data), levels=levels, **asked
    )
    reading = (validation_share, unreadable)
    start = None
    if begun is None:
        source = WeightsSource(weights, pretrained, recipe.seed)
        start = start_network(None, model, source, recipe.seed)
    _finish(wanted, start, model, reading, db, force, as_json)


def _finish(
    wanted: "SparseTraining",
    start: "Checkpoint | None",
    model: str | None,
    reading: tuple[float, str],
    db: str,
    force: bool,
    as_json: bool,
) -> None:
    """Train from the start, or go on with what `--out` holds where there is none."""
    from hdap.cli.tables.training_watch import watching
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, percent, say
    from hdap.networks.manifest import read_manifest
    from hdap.portfolio.rewinding import go_on, train_levels
    from hdap.portfolio.sparse_training import resumable
    from hdap.training.load_data import load_data
    from hdap.training.training_session import TrainingWatch

    done = [] if start is not None else list(resumable(wanted).levels)
    manifest = read_manifest(wanted.out / done[-1].name) if start is None else start.manifest
    known = manifest.model
    seen = options.data_options(known, manifest.input_shape, wanted.recipe.seed, *reading)
    with open_store(db, figures=False) as store, ExitStack() as bars:
        data = load_data(wanted.data, seen)
        options.tell_data(data)

        def watch(number: int) -> TrainingWatch:
            bars.close()
            say("training the dense network" if not number else f"level {number}")
            return bars.enter_context(watching(wanted, store))

        if start is None:
            say(f"resuming after {done[-1].name}")
            levels = go_on(data, wanted, watch, model=model)
        else:
            levels = train_levels(start, data, wanted, watch, force=force)
        for level in levels:
            done.append(level)
            say(
                f"{level.name}: {percent(level.density)} of the weights left, "
                f"accuracy {percent(level.accuracy)}"
            )
    emit_json(document(wanted, known, done)) if as_json else show(wanted, known, done)


def document(
    wanted: "SparseTraining", model: str, levels: "list[SparseLevelRecord]"
) -> dict[str, Any]:
    """What was trained as `--json` prints it."""
    from dataclasses import asdict

    return {
        "model": model,
        "out": str(wanted.out),
        "data": wanted.data,
        "recipe": asdict(wanted.recipe),
        "rate": wanted.rate,
        "rewind": wanted.rewind,
        "scope": wanted.scope,
        "levels": [asdict(level) for level in levels],
    }


def show(wanted: "SparseTraining", model: str, levels: "list[SparseLevelRecord]") -> None:
    """What was trained as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, number, percent, table

    table(
        [
            ("level", "left"),
            ("weights left", "right"),
            ("share", "right"),
            ("accuracy", "right"),
            ("loss", "right"),
            ("training", "right"),
        ],
        [
            [
                level.name,
                f"{level.weights:,}",
                percent(level.density, 2),
                percent(level.accuracy),
                number(level.validation_loss),
                f"{level.seconds:.1f} s",
            ]
            for level in levels
        ],
        title=f"{model} on validation images",
    )
    line(
        f"{sum(level.seconds for level in levels):.0f} s of training; each level loses "
        f"{percent(wanted.rate, 0)} of its weights ({wanted.scope}) and goes back to "
        f"epoch {wanted.rewind}"
    )
    named = f" --model {model}" if ":" in model else ""
    next_steps(f"hdap portfolio build --sparse {wanted.out} --out {wanted.out}-bundle{named}")
