"""Fine-tuning of a checkpoint: after every epoch a checkpoint that is whole, and rows in SQL."""

from pathlib import Path

from torch import nn

from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import STATE, Checkpoint, load_checkpoint
from hdap.networks.loading import load_model
from hdap.networks.manifest import NetworkManifest
from hdap.requests.training_request import TrainingRequest
from hdap.training.datasets import Data
from hdap.training.network_quality import Quality
from hdap.training.own_task import load_task
from hdap.training.training_loop import best_device
from hdap.training.training_session import (
    TrainingSession,
    TrainingWatch,
    require_as_begun,
)
from hdap.training.training_state import History, Snapshot, stored_snapshot

PRETRAINED = "pretrained"


def fine_tune(
    start: Checkpoint,
    data: Data,
    wanted: TrainingRequest,
    watch: TrainingWatch,
    *,
    resume: Snapshot | None = None,
    replace_out: bool = False,
    device: str | None = None,
) -> tuple[Checkpoint, History]:
    """Train a pruned network and keep it in `wanted.out`, whole, after every epoch.

    `start` comes from `load_checkpoint` or `prune_planned`; its module is trained in place. Only
    process 0 of several writes. With `replace_out` a checkpoint in `out` is replaced.

    Raises:
        DivergedError: the loss is not finite; says which checkpoint is the last good one.
        InputError: data, recipe and network do not fit, or `out` cannot be written.
    """
    teacher = load_teacher(start.manifest, wanted.teacher)
    session = TrainingSession(
        start.manifest, data, wanted, watch, resumed=resume is not None, force=replace_out
    )
    history = session.train(start.module, teacher=teacher, resume=resume, device=device)
    return Checkpoint(start.module, session.manifest), history


def resumable(wanted: TrainingRequest, *, model: str | None = None) -> tuple[Checkpoint, Snapshot]:
    """The checkpoint in `wanted.out` and the state of its training; `model` as `load_checkpoint`.

    Raises `InputError` when there is none, when it is complete, or when it was begun with another
    recipe, data, teacher, loss or metric.
    """
    out = wanted.out
    there = load_checkpoint(out, model=model)
    if not there.manifest.tunings or not (out / STATE).is_file():
        raise InputError(
            f"`--resume` needs a training that goes on, but {out} holds none; "
            "leave --resume out and name another --out"
        )
    begun = there.manifest.tunings[-1]
    require_as_begun(begun, wanted)
    if begun.epochs >= wanted.recipe.epochs:
        raise InputError(
            f"`--resume` needs epochs to do, but {out} has all {begun.epochs}; "
            f"tune it further: hdap finetune {out} --out NEW"
        )
    return there, stored_snapshot(out, there.module)


def quality_before(start: Checkpoint, data: Data, wanted: TrainingRequest) -> Quality:
    """How good a pruned network is before training, with batch norms as training will begin."""
    task = load_task(wanted.loss, wanted.metric)
    task.recalibrate(wanted.recipe, start.module.to(best_device()), data.train)
    return task.evaluate(start.module, data.validation)


def load_teacher(manifest: NetworkManifest, teacher: str) -> nn.Module | None:
    """The dense model with weights from a file or from timm (`pretrained`); None for "".

    Raises `InputError` when the file is not of that model.
    """
    if not teacher:
        return None
    if teacher == PRETRAINED:
        return load_model(manifest.model, pretrained=True).module
    return load_model(manifest.model, weights=Path(teacher)).module
