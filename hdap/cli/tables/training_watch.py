"""What trainings share on a terminal: their data, a bar, a line an epoch, TensorBoard if asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import leave_it_to_others, progress_bar, say, warn
from hdap.fleet_data.architecture import InputShapes
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import number, percent
from hdap.requests.compression_request import CompressRequest
from hdap.requests.portfolio_request import PortfolioRequest
from hdap.requests.training_request import TrainingRequest, judged_by
from hdap.training.datasets import Data, DataOptions
from hdap.training.distributed import rank
from hdap.training.load_data import load_data
from hdap.training.training_session import TrainingWatch
from hdap.training.training_state import Epoch, TrainingProgress


def read_data(
    asked: TrainingRequest | CompressRequest | PortfolioRequest,
    model: str,
    input_shape: InputShapes,
    seed: int,
    *,
    labelled: bool = True,
) -> Data:
    """The data that was asked for, as the network called `model` takes it; says what it is."""
    options = replace(
        DataOptions.of_model(model, input_shape, seed),
        validation_share=asked.validation_share,
        on_unreadable=asked.unreadable,
        labelled=labelled,
    )
    data = load_data(str(asked.data), options)
    say(
        f"{len(data.train):,} images to learn from, {len(data.validation):,} to judge by"
        + ("" if data.classes is None else f", {data.classes} classes")
    )
    if data.skipped:
        first = ", ".join(data.skipped[:3]) + (", ..." if len(data.skipped) > 3 else "")
        warn(f"{len(data.skipped):,} unreadable images were left out: {first}")
    return data


@contextmanager
def store_of_first(db: str) -> Iterator[Store | None]:
    """The store of the first process of several; the others have none and say nothing."""
    if rank():
        leave_it_to_others()
        yield None
        return
    with open_store(db, figures=False) as store:
        yield store


@contextmanager
def watching(
    wanted: TrainingRequest, store: Store | None, tensorboard: Path | None = None
) -> Iterator[TrainingWatch]:
    """A progress bar over all epochs, a line an epoch, rows in the store, TensorBoard if asked."""
    board_folder = None if rank() else tensorboard
    judged = judged_by(wanted.loss, wanted.metric)

    def accuracy(value: float) -> str:
        return f"{judged} {percent(value)}, " if judged else ""

    with progress_bar("training") as bar, _writing_to(board_folder, judged) as board:

        def step(done: TrainingProgress) -> None:
            rate = f"{accuracy(done.accuracy)}{number(done.images_per_second)} images/s"
            note = f"epoch {done.epoch}: loss {number(done.loss)}, {rate}"
            bar(done.done, done.total, note)

        def epoch(done: Epoch) -> None:
            board(done)
            say(
                f"epoch {done.number} of {wanted.recipe.epochs}: loss {number(done.train_loss)}, "
                f"on validation images {number(done.validation_loss)}, "
                f"{accuracy(done.accuracy)}{number(done.images_per_second)} images/s"
            )

        yield TrainingWatch(step, epoch, store)


@contextmanager
def _writing_to(folder: Path | None, judged: str) -> Iterator[Callable[[Epoch], None]]:
    """Inside, a function that writes an epoch's figures into `folder`; None: it does nothing.

    `judged` is what accuracy is called, "" where there is none.

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
                told = judged if name == "accuracy" else name
                if told and name != "number":
                    writer.add_scalar(told, value, epoch.number)
            writer.flush()

        yield write
