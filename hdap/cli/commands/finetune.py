"""`hdap finetune`: what pruning took, training brings back."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from hdap.cli.settings.training_commands import FinetuneCommand
from hdap.cli.tables.training_watch import read_data, store_of_first, watching
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import emit_json, line, say, table
from hdap.fleet_data.atomic_files import require_free_folder
from hdap.fleet_data.wording import counted, number, percent, seconds
from hdap.networks.checkpoint import FILES, Checkpoint, load_checkpoint
from hdap.requests.setting import build
from hdap.requests.training_request import TrainingRequest, judged_by
from hdap.training.distributed import processes
from hdap.training.finetuning import fine_tune, quality_before, resumable
from hdap.training.network_quality import Quality
from hdap.training.training_session import BEGINS, begun_tuning
from hdap.training.training_state import History
from hdap.workflows.next_commands import export_command

T = TypeVar("T")


def run(asked: FinetuneCommand) -> None:
    """Train from the checkpoint, or go on with what `--out` holds, and print what came of it."""
    wanted, snapshot, before = asked.wanted, None, None
    begun = begun_tuning(wanted.out) if asked.resume else None
    if begun is not None:
        stored = replace(
            wanted,
            recipe=begun.recipe,
            teacher=begun.teacher,
            loss=begun.loss,
            metric=begun.metric,
        )
        wanted = build(TrainingRequest, asked.given, default=stored)
    with processes():
        if begun is not None:
            start, snapshot = resumable(wanted, model=asked.model)
        else:
            require_free_folder(wanted.out, asked.force, FILES)
            start = load_checkpoint(asked.checkpoint, model=asked.model)
            if asked.resume:
                say(BEGINS.format(wanted.out))
        with store_of_first(asked.db) as store:
            manifest, seed = start.manifest, wanted.recipe.seed
            shape, labelled = manifest.input_shape, not wanted.loss
            data = read_data(wanted, manifest.model, shape, seed, labelled=labelled)
            if snapshot is None:
                before = quality_before(start, data, wanted)
            else:
                say(f"resuming after epoch {len(snapshot.epochs)}")
            with watching(wanted, store, asked.tensorboard) as watch:
                done, history = fine_tune(
                    start, data, wanted, watch, resume=snapshot, replace_out=asked.force
                )
        if asked.as_json:
            emit_json(document(done, history, before, wanted.out))
        else:
            show(done, history, before, wanted.out)


def document(
    done: Checkpoint, history: History, before: Quality | None, out: Path
) -> dict[str, Any]:
    """What was trained as `--json` prints it."""
    tuning = done.manifest.tunings[-1]
    return {
        "model": done.manifest.model,
        "out": str(out),
        "run": tuning.run,
        "data": tuning.data,
        "teacher": tuning.teacher or None,
        "loss": tuning.loss or None,
        "metric": tuning.metric or None,
        "recipe": asdict(tuning.recipe),
        "flops": done.manifest.flops,
        "before": None if before is None else asdict(before),
        "accuracy": tuning.accuracy,
        "validation_loss": tuning.validation_loss,
        "epochs": [asdict(epoch) for epoch in history.epochs],
    }


def show(done: Checkpoint, history: History, before: Quality | None, out: Path) -> None:
    """What was trained as a person reads it."""
    last, tuning = history.last, done.manifest.tunings[-1]
    rows = [] if before is None else [("as pruned", before.accuracy, before.loss)]
    rows.append((f"after {counted(last.number, 'epoch')}", last.accuracy, last.validation_loss))
    judged = judged_by(tuning.loss, tuning.metric)
    table(
        [("network", "left"), *_shown(judged, (judged, "right")), ("loss", "right")],
        [[name, *_shown(judged, percent(accuracy)), number(loss)] for name, accuracy, loss in rows],
        title=f"{done.manifest.model} on validation images",
    )
    line(
        f"run {tuning.run}: {tuning.recipe.optimizer}, seed {tuning.recipe.seed}, "
        f"{seconds(sum(epoch.seconds for epoch in history.epochs))} of training"
    )
    next_steps(export_command(out, done.manifest.model))


def _shown(judged: str, cell: T) -> list[T]:
    """A cell where there is something in accuracy's place."""
    return [cell] if judged else []
