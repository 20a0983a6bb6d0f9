"""`hdap finetune`: what pruning took, training brings back."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options import recipe_options as options
from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug

if TYPE_CHECKING:
    from hdap.networks.checkpoint import Checkpoint
    from hdap.training.network_quality import Quality
    from hdap.training.training_session import TrainingRequest
    from hdap.training.training_state import History, Snapshot

NAME = "finetune"


def run(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that hdap prune wrote.")],
    data: options.DataName,
    out: Annotated[Path, typer.Option("--out", help="Folder for the tuned checkpoint.")],
    teacher: options.Teacher = None,
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
        bool,
        typer.Option("--resume", help="Go on after the last epoch in --out, if it holds one."),
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard's event files.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The checkpoint's package.module:factory, if it is one."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a checkpoint that is in --out.")
    ] = False,
    db: Db = DEFAULT_DB,
    seed: options.TrainingSeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train a pruned network; a checkpoint and a row in SQL (table epochs) after every epoch.

    A run that was stopped goes on with --resume to the same numbers. Several GPUs or machines:
    torchrun --nproc-per-node 4 -m hdap finetune ... (for --resume they share the disk of --out).
    """
    from hdap.fleet_data.atomic_files import require_free_folder
    from hdap.networks.checkpoint import FILES, load_checkpoint
    from hdap.training.distributed import processes
    from hdap.training.finetuning import resumable
    from hdap.training.training_session import TrainingRequest, begun_tuning

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
    if teacher is None:
        teacher = "" if begun is None else begun.teacher
    wanted = TrainingRequest(out, data, recipe, teacher, workers=options.readers(workers, data))
    with processes():
        snapshot = None
        if begun is not None:
            start, snapshot = resumable(wanted, model=model)
        else:
            require_free_folder(out, force, FILES)
            start = load_checkpoint(checkpoint, model=model)
        reading = options.data_options(
            start.manifest.model,
            start.manifest.input_shape,
            recipe.seed,
            validation_share,
            unreadable,
        )
        _tune(start, wanted, snapshot, reading, tensorboard, db, force, as_json)


def _tune(
    start: "Checkpoint",
    wanted: "TrainingRequest",
    snapshot: "Snapshot | None",
    reading: Any,
    tensorboard: Path | None,
    db: str,
    force: bool,
    as_json: bool,
) -> None:
    from hdap.cli.tables.training_watch import watching
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, leave_it_to_others, say
    from hdap.training.distributed import rank
    from hdap.training.finetuning import fine_tune, quality_before
    from hdap.training.load_data import load_data

    leader = rank() == 0
    if not leader:
        leave_it_to_others()
    with open_store(db, figures=False) if leader else nullcontext() as store:
        data = load_data(wanted.data, reading)
        options.tell_data(data)
        before = quality_before(start, data, wanted.recipe) if snapshot is None else None
        if snapshot is not None:
            say(f"resuming after epoch {len(snapshot.epochs)}")
        with watching(wanted, store, tensorboard if leader else None) as watch:
            done, history = fine_tune(
                start, data, wanted, watch, resume=snapshot, replace_out=force
            )
    if as_json:
        emit_json(document(done, history, before, wanted.out))
    else:
        show(done, history, before, wanted.out)


def document(
    done: "Checkpoint", history: "History", before: "Quality | None", out: Path
) -> dict[str, Any]:
    """What was trained as `--json` prints it."""
    from dataclasses import asdict

    tuning = done.manifest.tunings[-1]
    return {
        "model": done.manifest.model,
        "out": str(out),
        "run": tuning.run,
        "data": tuning.data,
        "teacher": tuning.teacher or None,
        "recipe": asdict(tuning.recipe),
        "flops": done.manifest.flops,
        "before": None if before is None else asdict(before),
        "accuracy": tuning.accuracy,
        "validation_loss": tuning.validation_loss,
        "epochs": [asdict(epoch) for epoch in history.epochs],
    }


def show(done: "Checkpoint", history: "History", before: "Quality | None", out: Path) -> None:
    """What was trained as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, number, percent, table

    last, tuning = history.last, done.manifest.tunings[-1]
    rows = [] if before is None else [("as pruned", before.accuracy, before.loss)]
    rows.append((f"after {last.number} epochs", last.accuracy, last.validation_loss))
    table(
        [("network", "left"), ("accuracy", "right"), ("loss", "right")],
        [[name, percent(accuracy), number(loss)] for name, accuracy, loss in rows],
        title=f"{done.manifest.model} on validation images",
    )
    line(
        f"run {tuning.run}: {tuning.recipe.optimizer}, seed {tuning.recipe.seed}, "
        f"{sum(epoch.seconds for epoch in history.epochs):.0f} s of training"
    )
    named = f" --model {done.manifest.model}" if ":" in done.manifest.model else ""
    next_steps(f"hdap export {out} --format onnx --out {out}.onnx{named}")
