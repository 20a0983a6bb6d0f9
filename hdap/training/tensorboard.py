"""Epochs as TensorBoard reads them, where it is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from hdap.fleet_data.errors import InputError
from hdap.training.training_history import Epoch


@contextmanager
def writing_to(folder: Path | None) -> Iterator[Callable[[Epoch], None]]:
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
