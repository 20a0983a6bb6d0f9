"""Going on with a training that was stopped: what its folder keeps beside the checkpoint."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import STATE, Checkpoint, load_checkpoint
from hdap.networks.manifest import Tuning, read_manifest
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data
from hdap.training.training_history import Epoch
from hdap.training.training_loop import Snapshot


def resumable(
    out: Path, recipe: Recipe, data: str, teacher: str, *, model: str | None = None
) -> tuple[Checkpoint, Snapshot]:
    """The checkpoint in `out` and the state of its training.

    Raises `InputError` when there is none, when it is complete, or when it was begun with another
    recipe, data or teacher.
    """
    there = load_checkpoint(out, model=model)
    if not there.manifest.tunings or not (out / STATE).is_file():
        raise InputError(
            f"`--resume` needs a training that goes on, but {out} holds none; "
            "leave --resume out and name another --out"
        )
    begun = there.manifest.tunings[-1]
    require_as_begun(begun, recipe, data, teacher)
    if begun.epochs >= recipe.epochs:
        raise InputError(
            f"`--resume` needs epochs to do, but {out} has all {begun.epochs}; "
            f"tune it further: hdap finetune {out} --out NEW"
        )
    return there, stored_snapshot(out, there.module)


def begun_tuning(out: Path) -> Tuning | None:
    """The training that `out` holds and that may go on, if it holds one."""
    if not (out / STATE).is_file():
        return None
    return next(reversed(read_manifest(out).tunings), None)


def require_as_begun(begun: Tuning, recipe: Recipe, data: str, teacher: str = "") -> None:
    """Raises `InputError` unless recipe, data and teacher are what the training began with."""
    asked = asdict(recipe) | {"data": data, "teacher": teacher}
    stored = asdict(begun.recipe) | {"data": begun.data, "teacher": begun.teacher}
    for name, value in asked.items():
        if stored.get(name) != value:
            raise InputError(
                f"a training goes on as it began, with {name}={stored.get(name)!r}, but got "
                f"{value!r}; leave the option out or begin anew in another --out"
            )


def require_same_data(begun: Tuning, data: Data) -> None:
    """Raises `InputError` unless there are as many images as the training began with."""
    now = (len(data.train), len(data.validation))
    if now != (begun.images, begun.validation_images):
        raise InputError(
            f"a training goes on with the data it began with, {begun.images:,} images and "
            f"{begun.validation_images:,} to judge by, but got {now[0]:,} and {now[1]:,}; give the "
            "same --data and options, or begin anew in another --out"
        )


def encode(snapshot: Snapshot, *, weights: bool = False) -> bytes:
    """The state of a training, without the weights where they are in the checkpoint itself."""
    content: dict[str, Any] = {
        "optimizer": snapshot.optimizer,
        "scaler": snapshot.scaler,
        "epochs": [asdict(epoch) for epoch in snapshot.epochs],
    }
    if weights:
        content["module"] = dict(snapshot.module)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def stored_snapshot(folder: Path, module: nn.Module) -> Snapshot:
    """The state of the training that checkpoint `folder` keeps; `module` is its network.

    Weights are that network's, or those that `encode` was told to keep. Raises `InputError` when
    the state cannot be read.
    """
    try:
        content = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        epochs = tuple(Epoch(**epoch) for epoch in content["epochs"])
        weights = content.get("module") or module.state_dict()
        return Snapshot(weights, content["optimizer"], content["scaler"], epochs)
    except Exception as error:
        raise InputError(
            f"{folder / STATE} must hold the state of a training, but reading it failed with "
            f"{type(error).__name__}; begin anew without --resume"
        ) from error
