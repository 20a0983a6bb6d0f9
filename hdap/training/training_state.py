"""What a training run did, epoch by epoch, and what it needs to go on after it was stopped."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import STATE


@dataclass(frozen=True)
class Epoch:
    """One epoch, `number` from 1.

    Losses are means in nats: `train_loss` over the steps while the network changed, as the recipe
    defines it, `validation_loss` plain cross-entropy after them. `accuracy` is the share of
    validation images that are right; `lr` that of the last step. `images_per_second` and `seconds`
    are of the training steps alone. With a task of the user's own losses and accuracy are
    as in `hdap.training.network_quality.Quality`.
    """

    number: int
    train_loss: float
    validation_loss: float
    accuracy: float
    lr: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class History:
    """Epochs in order, those before a resume included; one at least."""

    epochs: tuple[Epoch, ...]

    @property
    def last(self) -> Epoch:
        """The network as it is now."""
        return self.epochs[-1]


@dataclass(frozen=True)
class TrainingProgress:
    """A step that is done: `done` of `total` steps of the run, the mean loss of this epoch so far,
    and `accuracy` of the epoch before (NaN in the first)."""

    epoch: int
    done: int
    total: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class Snapshot:
    """A run after `epochs`: all that it needs to go on as if it had never stopped.

    Tensors are the live ones of the run: save them before it goes on. Generators need no state,
    because every epoch begins with those that follow from the seed and its number.
    """

    module: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    epochs: tuple[Epoch, ...]

    def encode(self, *, weights: bool = False) -> bytes:
        """As `stored_snapshot` reads it; weights only where no checkpoint beside holds them."""
        content: dict[str, Any] = {
            "optimizer": self.optimizer,
            "scaler": self.scaler,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        if weights:
            content["module"] = dict(self.module)
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()


def stored_snapshot(folder: Path, module: nn.Module) -> Snapshot:
    """The state of the training that checkpoint `folder` keeps; `module` is its network.

    Weights are that network's, or those that were encoded. Raises `InputError` when the state
    cannot be read.
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
