"""A training that has a name: what every kind of training leaves after each epoch, and goes on by.

Fine-tuning, the steps of a compression, elastic networks and sparse levels all train through a
`TrainingSession`; they differ in what a step minimises and in which network an epoch leaves.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from hdap.fleet_data.atomic_files import finish_replacing, writable
from hdap.fleet_data.errors import DivergedError, InputError
from hdap.fleet_data.records import EpochRecord
from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import STATE, save_checkpoint
from hdap.networks.manifest import NetworkManifest, Tuning, read_manifest
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import TrainingRequest
from hdap.training.datasets import Data
from hdap.training.distributed import rank
from hdap.training.load_data import image_readers
from hdap.training.losses import Losses
from hdap.training.own_task import load_task
from hdap.training.training_loop import OnEpoch, train
from hdap.training.training_state import Epoch, History, Snapshot, TrainingProgress

AnyManifest = TypeVar("AnyManifest", bound=NetworkManifest)


@dataclass(frozen=True)
class TrainingWatch:
    """Who is told on the way: steps, epochs, and the store that keeps epochs, if any."""

    on_step: Callable[[TrainingProgress], None] | None = None
    on_epoch: Callable[[Epoch], None] | None = None
    store: Store | None = None


class TrainingSession(Generic[AnyManifest]):
    """Trains, and leaves after every epoch a checkpoint that is whole, then a row that says so.

    `manifest` is what the checkpoint says; its last tuning is this training once an epoch is done.
    `epochs` are those of this session. Only process 0 of several writes.
    """

    def __init__(
        self,
        manifest: AnyManifest,
        data: Data,
        wanted: TrainingRequest,
        watch: TrainingWatch,
        *,
        resumed: bool = False,
        force: bool = False,
    ) -> None:
        """`resumed`: the last tuning of `manifest` goes on; `force` replaces a checkpoint.

        Raises `InputError` where a resumed training had other data.
        """
        self.manifest, self.data, self.wanted, self.watch = manifest, data, wanted, watch
        self.epochs: list[Epoch] = []
        self.last_good = "no epoch was complete, so nothing was written"
        self._earlier, self._force = manifest.tunings, force or resumed
        if resumed:
            *earlier, begun = manifest.tunings
            require_same_data(begun, data)
            self._earlier, self._run = tuple(earlier), begun.run
            self._note_good(begun.epochs)
        else:
            self._run = free_run(watch.store, wanted.run or wanted.out.name)

    def train(
        self,
        module: nn.Module,
        recipe: Recipe | None = None,
        *,
        checkpoint: OnEpoch | None = None,
        teacher: nn.Module | None = None,
        losses: Losses | None = None,
        after_step: Callable[[nn.Module], None] | None = None,
        resume: Snapshot | None = None,
        before: int = 0,
        device: str | None = None,
    ) -> History:
        """Train `module` in place by the recipe of the request, or by that of one of its stages.

        `checkpoint` may leave something else than `module`; `before` is how many epochs the stages
        before have. Other arguments and errors as for `hdap.training.training_loop.train`; where
        the loss is not finite the error says what is left.
        """

        def leave(epoch: Epoch, snapshot: Callable[[], Snapshot]) -> None:
            epoch = replace(epoch, number=before + epoch.number)
            self.epochs.append(epoch)
            self.manifest = replace(self.manifest, tunings=(*self._earlier, self._tuning(epoch)))
            if checkpoint is None:
                self.save(module, snapshot)
            else:
                checkpoint(epoch, snapshot)
            if rank() == 0 and self.watch.store is not None:
                self.watch.store.save_epochs([self._row(epoch)])
            if self.watch.on_epoch is not None:
                self.watch.on_epoch(epoch)

        try:
            return train(
                module,
                self.data,
                recipe or self.wanted.recipe,
                teacher=teacher,
                losses=losses,
                task=load_task(self.wanted.loss, self.wanted.metric),
                after_step=after_step,
                on_epoch=leave,
                on_step=self.watch.on_step,
                resume=resume,
                device=device,
                workers=image_readers(self.wanted.workers, self.wanted.data),
            )
        except DivergedError as error:
            raise DivergedError(f"{error}; {self.last_good}") from error

    def save(
        self,
        module: nn.Module,
        snapshot: Callable[[], Snapshot] | None = None,
        *,
        weights: bool = False,
    ) -> None:
        """A checkpoint of `module`, to go on from where there is a `snapshot`.

        `weights`: those of the snapshot are not the module's. Raises `InputError` where it cannot
        be written; says what is left.
        """
        if rank() == 0:
            state = None if snapshot is None else snapshot().encode(weights=weights)
            try:
                self.manifest = save_checkpoint(
                    self.wanted.out, module, self.manifest, force=self._force, state=state
                )
            except InputError as error:
                raise InputError(f"{error}; {self.last_good}") from error
        self._force = True
        self._note_good(self.manifest.tunings[-1].epochs)

    def _note_good(self, epoch: int) -> None:
        self.last_good = f"{self.wanted.out} holds the last good checkpoint, of epoch {epoch}"

    def _tuning(self, epoch: Epoch) -> Tuning:
        return Tuning(
            run=self._run,
            data=self.wanted.data,
            teacher=self.wanted.teacher,
            recipe=self.wanted.recipe,
            images=len(self.data.train),
            validation_images=len(self.data.validation),
            epochs=epoch.number,
            accuracy=epoch.accuracy if math.isfinite(epoch.accuracy) else None,
            validation_loss=epoch.validation_loss,
            loss=self.wanted.loss,
            metric=self.wanted.metric,
        )

    def _row(self, epoch: Epoch) -> EpochRecord:
        return EpochRecord(
            run=self._run,
            epoch=epoch.number,
            checkpoint=str(self.wanted.out),
            model=self.manifest.model,
            train_loss=epoch.train_loss,
            validation_loss=epoch.validation_loss,
            accuracy=epoch.accuracy,
            lr=epoch.lr,
            images_per_second=epoch.images_per_second,
            seconds=epoch.seconds,
            seed=self.wanted.recipe.seed,
            created_at=datetime.now(UTC),
            metric=self.wanted.metric if self.wanted.loss else "accuracy",
        )


def free_run(store: Store | None, stem: str) -> str:
    """The name of a run: `stem`, or where it is taken `stem-2` and so on."""
    taken = () if store is None else store.training_runs()
    names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


BEGINS = "{} holds no training that goes on: beginning anew"
"""What is said where one is to be resumed and there is none."""


def begun_tuning(out: Path) -> Tuning | None:
    """The training that `out` holds and that may go on, if it holds one.

    Where a process was killed while it replaced `out`, that is finished first.
    """
    with writable(out):
        finish_replacing(out)
    if not (out / STATE).is_file():
        return None
    return next(reversed(read_manifest(out).tunings), None)


def require_as_begun(begun: Tuning, wanted: TrainingRequest) -> None:
    """Raises `InputError` unless recipe, data, teacher, loss and metric are as it began."""

    def told(by: Tuning | TrainingRequest) -> dict[str, Any]:
        names = ("data", "teacher", "loss", "metric")
        return asdict(by.recipe) | {name: getattr(by, name) for name in names}

    require_unchanged(told(begun), told(wanted))


def require_unchanged(
    begun: Mapping[str, Any], asked: Mapping[str, Any], what: str = "a training"
) -> None:
    """Raises `InputError` naming the first of `asked` that is not what `what` began with."""
    for name, value in asked.items():
        if begun.get(name) != value:
            raise InputError(
                f"{what} goes on as it began, with {name}={begun.get(name)!r}, but got {value!r}; "
                "leave the option out or begin anew in another --out"
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
