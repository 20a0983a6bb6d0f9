"""`hdap elastic train`: all levels of one network, from one set of weights."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options import recipe_options as options
from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug

if TYPE_CHECKING:
    from hdap.elastic.elastic_training import ElasticResult, ElasticTraining
    from hdap.elastic.levels import Levels
    from hdap.networks.checkpoint import Checkpoint

NAME = "train"


def run(
    data: options.DataName,
    out: Annotated[Path, typer.Option("--out", help="Folder for the elastic checkpoint.")],
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="Folder that hdap prune or finetune wrote, instead of --model."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A timm name, or package.module:factory.")
    ] = None,
    levels: Annotated[
        Path | None,
        typer.Option("--levels", help="File of hdap elastic plan, or a JSON list of levels."),
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option(
            "--flops",
            help="Uniform levels at these FLOPs instead, by commas.  [default: 25%,50%,75%,100%]",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help="nested (all levels at once), masked (learns which channels stay, then nested), "
            "incremental (one level after the other, what lower levels compute stays).  "
            "[default: nested]",
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
    distillation: options.Distillation = None,
    temperature: options.Temperature = None,
    clip_norm: options.ClipNorm = None,
    recalibration: options.Recalibration = None,
    amp: options.Amp = None,
    validation_share: options.ValidationShare = 0.1,
    unreadable: options.Unreadable = "stop",
    workers: options.Workers = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last epoch in --out, if it holds one.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a checkpoint that is in --out.")
    ] = False,
    db: Db = DEFAULT_DB,
    seed: options.TrainingSeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train one set of weights that runs at several levels; a checkpoint after every epoch.

    The widest level teaches the others at the weight of --distillation. Epochs are divided among
    the stages of a mode. Several GPUs: torchrun --nproc-per-node 4 -m hdap elastic train ...
    """
    from hdap.elastic.elastic_checkpoint import read_elastic_manifest
    from hdap.elastic.elastic_training import ElasticTraining
    from hdap.networks.checkpoint import start_network
    from hdap.networks.prune_plan import WeightsSource
    from hdap.training.distributed import processes
    from hdap.training.training_session import begun_tuning

    begun = begun_tuning(out) if resume else None
    recipe = options.recipe_of(
        None if begun is None else begun.recipe,
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
        distillation=distillation,
        temperature=temperature,
        clip_norm=clip_norm,
        recalibration=recalibration,
        amp=amp,
        seed=seed,
    )
    if mode is None:
        mode = "nested" if begun is None else read_elastic_manifest(out).mode
    wanted = ElasticTraining(out, data, recipe, workers=options.readers(workers, data), mode=mode)
    with processes():
        reading = (validation_share, unreadable)
        if begun is not None:
            _finish(wanted, None, None, model, reading, db, True, as_json)
            return
        source = WeightsSource(weights, pretrained, recipe.seed)
        start = start_network(checkpoint, model, source, recipe.seed)
        found = _levels(start, levels, flops)
        _finish(wanted, start, found, model, reading, db, force, as_json)


def _levels(start: "Checkpoint", file: Path | None, flops: str | None) -> "Levels":
    from hdap.elastic.levels import read_levels, uniform_levels
    from hdap.fleet_data.errors import InputError
    from hdap.networks.tracing import describe

    if file is not None and flops is not None:
        raise InputError("levels come from --levels or --flops, but got both; leave one out")
    architecture = describe(start.module, start.manifest.model, start.manifest.input_shape)
    if file is not None:
        return read_levels(architecture, file)
    return uniform_levels(architecture, (flops or "25%,50%,75%,100%").split(","))


def _finish(
    wanted: "ElasticTraining",
    start: "Checkpoint | None",
    levels: "Levels | None",
    model: str | None,
    reading: tuple[float, str],
    db: str,
    force: bool,
    as_json: bool,
) -> None:
    """Train from the start, or go on with what `--out` holds where there is none."""
    from hdap.cli.tables.training_watch import watching
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, leave_it_to_others, say
    from hdap.elastic.elastic_training import go_on, train_elastic, unfinished
    from hdap.fleet_data.atomic_files import require_free_folder
    from hdap.networks.checkpoint import FILES
    from hdap.training.distributed import rank
    from hdap.training.load_data import load_data

    leader = rank() == 0
    if not leader:
        leave_it_to_others()
    begun = None if start is not None else unfinished(wanted, model=model)
    manifest = start.manifest if start is not None else begun.checkpoint.manifest  # type: ignore[union-attr]
    if start is not None:
        require_free_folder(wanted.out, force, FILES)
    seen = options.data_options(manifest.model, manifest.input_shape, wanted.recipe.seed, *reading)
    with open_store(db, figures=False) if leader else nullcontext() as store:
        data = load_data(wanted.data, seen)
        options.tell_data(data)
        with watching(wanted, store) as watch:
            if begun is not None:
                say(f"resuming after epoch {begun.checkpoint.manifest.tunings[-1].epochs}")
                done = go_on(begun, data, wanted, watch)
            else:
                assert start is not None
                assert levels is not None
                done = train_elastic(
                    start.module, manifest, levels, data, wanted, watch, replace_out=force
                )
    emit_json(document(done, wanted)) if as_json else show(done, wanted)


def document(done: "ElasticResult", wanted: "ElasticTraining") -> dict[str, Any]:
    """What was trained as `--json` prints it."""
    from dataclasses import asdict

    model, manifest = done.checkpoint.model, done.checkpoint.manifest
    return {
        "model": manifest.model,
        "out": str(wanted.out),
        "mode": manifest.mode,
        "run": manifest.tunings[-1].run,
        "recipe": asdict(wanted.recipe),
        "levels": [
            {"level": i, "channels": channels, "flops": int(flops), **asdict(quality)}
            for i, (channels, flops, quality) in enumerate(
                zip(manifest.levels, model.levels.flops, done.qualities, strict=True)
            )
        ],
        "extra_bytes": model.extra_bytes,
        "storage_ratio": model.storage_ratio,
        "epochs": [asdict(epoch) for epoch in done.epochs],
    }


def show(done: "ElasticResult", wanted: "ElasticTraining") -> None:
    """What was trained as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, number, percent, table
    from hdap.fleet_data.costs import format_flops

    model, manifest = done.checkpoint.model, done.checkpoint.manifest
    table(
        [("level", "right"), ("FLOPs", "right"), ("accuracy", "right"), ("loss", "right")],
        [
            [str(level), format_flops(int(flops)), percent(quality.accuracy), number(quality.loss)]
            for level, (flops, quality) in enumerate(
                zip(model.levels.flops, done.qualities, strict=True)
            )
        ],
        title=f"{manifest.model} on validation images, trained {manifest.mode}",
    )
    line(
        f"run {manifest.tunings[-1].run}: all levels take {model.storage_ratio:.3f}x the bytes of "
        f"the dense network, {model.extra_bytes:,} more"
    )
    named = f" --model {manifest.model}" if ":" in manifest.model else ""
    next_steps(f"hdap export {wanted.out} --level 0 --format onnx --out {wanted.out}-0.onnx{named}")
