"""What a training run did, epoch by epoch. No torch here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One epoch, `number` from 1.

    Losses are means in nats: `train_loss` over the steps while the network changed, as the recipe
    defines it, `validation_loss` plain cross-entropy after them. `accuracy` is the share of
    validation images that are right; `lr` that of the last step. `images_per_second` and `seconds`
    are of the training steps alone.
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
