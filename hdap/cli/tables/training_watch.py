"""What a training shows on its way: a bar, a line an epoch, TensorBoard where it is asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hdap.cli.terminal.output import number, percent, progress_bar, say
from hdap.fleet_data.errors import InputError
from hdap.training.training_session import TrainingRequest, TrainingWatch
from hdap.training.training_state import Epoch, TrainingProgress

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


@contextmanager
def watching(
    wanted: TrainingRequest, store: "Store | None", tensorboard: Path | None = None
) -> Iterator[TrainingWatch]:
    """A progress bar over all epochs, a line an epoch, rows in the store, TensorBoard if asked."""
    with progress_bar("training") as bar, _writing_to(tensorboard) as board:

        def step(done: TrainingProgress) -> None:
            accuracy = f"accuracy {percent(done.accuracy)}, "
            rate = f"{number(done.images_per_second)} images/s"
            note = f"epoch {done.epoch}: loss {number(done.loss)}, {accuracy}{rate}"
            bar(done.done, done.total, note)

        def epoch(done: Epoch) -> None:
            board(done)
            say(
                f"epoch {done.number} of {wanted.recipe.epochs}: loss {number(done.train_loss)}, "
                f"on validation images {number(done.validation_loss)}, "
                f"accuracy {percent(done.accuracy)}, {number(done.images_per_second)} images/s"
            )

        yield TrainingWatch(step, epoch, store)


@contextmanager
def _writing_to(folder: Path | None) -> Iterator[Callable[[Epoch], None]]:
    """Inside, a function that writes an epoch's figures into `folder`; None: it does nothing.

    Raises `InputError` when TensorBoard is not installed.
    """
    if folder is None:
        yield lambda epoch: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "`--tensorboard` needs TensorBoard, but it is not installed; "
            "install it: pip install tensorboard"
        ) from error

    with SummaryWriter(str(folder)) as writer:

        def write(epoch: Epoch) -> None:
            for name, value in asdict(epoch).items():
                if name != "number":
                    writer.add_scalar(name, value, epoch.number)
            writer.flush()

        yield write
