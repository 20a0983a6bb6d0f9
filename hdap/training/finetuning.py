"""Fine-tuning of a checkpoint: after every epoch a checkpoint that is whole, and rows in SQL."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from hdap.fleet_data.errors import DivergedError, InputError
from hdap.fleet_data.records import EpochRecord
from hdap.networks.checkpoint import Checkpoint, save_checkpoint
from hdap.networks.loading import load_model
from hdap.networks.manifest import NetworkManifest, Tuning
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data
from hdap.training.distributed import rank
from hdap.training.network_quality import Quality, evaluate, recalibrate_on
from hdap.training.resuming import encode, require_same_data
from hdap.training.training_history import Epoch, History, TrainingProgress
from hdap.training.training_loop import Snapshot, best_device, train

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class FineTuning:
    """What is to be done: `out` gets the checkpoint, `data` and `teacher` are what the user calls
    them (teacher: a weights file, `pretrained`, or nothing), `workers` processes read images. `run`
    names the epochs in the store, where it is free; by default the folder's name does.
    """

    out: Path
    data: str
    recipe: Recipe
    teacher: str = ""
    workers: int = 0
    run: str = ""


@dataclass(frozen=True)
class TrainingWatch:
    """Who is told on the way: steps, epochs, and the store that keeps epochs, if any."""

    on_step: Callable[[TrainingProgress], None] | None = None
    on_epoch: Callable[[Epoch], None] | None = None
    store: "Store | None" = None


def fine_tune(
    start: Checkpoint,
    data: Data,
    wanted: FineTuning,
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
    before = resume.epochs if resume else ()
    teacher = load_teacher(start.manifest, wanted.teacher)
    if before:
        require_same_data(start.manifest.tunings[-1], data)
    kept = _Keeper(start, data, wanted, watch, done=len(before), force=replace_out or bool(before))
    try:
        history = train(
            start.module,
            data,
            wanted.recipe,
            teacher=teacher,
            on_epoch=kept.keep,
            on_step=watch.on_step,
            resume=resume,
            device=device,
            workers=wanted.workers,
        )
    except DivergedError as error:
        raise DivergedError(f"{error}; {kept.last_good}") from error
    return Checkpoint(start.module, kept.manifest), history


def quality_before(start: Checkpoint, data: Data, recipe: Recipe) -> Quality:
    """How good a pruned network is before training, with batch norms as training will begin."""
    start.module.to(best_device())
    if recipe.recalibration:
        size, count = recipe.batch_size, recipe.recalibration
        recalibrate_on(start.module, data.train, count=count, batch_size=size, seed=recipe.seed)
    return evaluate(start.module, data.validation)


def load_teacher(manifest: NetworkManifest, teacher: str) -> nn.Module | None:
    """The dense model with weights from a file or from timm (`pretrained`); None for "".

    Raises `InputError` when the file is not of that model.
    """
    if not teacher:
        return None
    if teacher == PRETRAINED:
        return load_model(manifest.model, pretrained=True).module
    return load_model(manifest.model, weights=Path(teacher)).module


class _Keeper:
    """Writes what an epoch leaves: the checkpoint, then the row that says so."""

    def __init__(
        self,
        start: Checkpoint,
        data: Data,
        wanted: FineTuning,
        watch: TrainingWatch,
        *,
        done: int,
        force: bool,
    ) -> None:
        self._start, self._data, self._wanted, self._watch = start, data, wanted, watch
        self._force, self._done = force, done
        tunings = start.manifest.tunings
        self._earlier = tunings[:-1] if done else tunings
        self._run = (
            tunings[-1].run if done else free_run(watch.store, wanted.run or wanted.out.name)
        )
        self.manifest = start.manifest

    @property
    def last_good(self) -> str:
        if not self._done:
            return "no epoch was complete, so nothing was written"
        return f"{self._wanted.out} holds the last good checkpoint, of epoch {self._done}"

    def keep(self, epoch: Epoch, snapshot: Callable[[], Snapshot]) -> None:
        wanted = self._wanted
        tuning = tuning_of(wanted, self._run, self._data, epoch, teacher=wanted.teacher)
        self.manifest = replace(self._start.manifest, tunings=(*self._earlier, tuning))
        if rank() == 0:
            self._write(epoch, snapshot())
        self._done, self._force = epoch.number, True
        if self._watch.on_epoch is not None:
            self._watch.on_epoch(epoch)

    def _write(self, epoch: Epoch, snapshot: Snapshot) -> None:
        out = self._wanted.out
        try:
            self.manifest = save_checkpoint(
                out,
                self._start.module,
                self.manifest,
                force=self._force,
                state=encode(snapshot),
            )
        except InputError as error:
            raise InputError(f"{error}; {self.last_good}") from error
        if self._watch.store is not None:
            self._watch.store.save_epochs([epoch_record(self.manifest, self._wanted, epoch)])


def free_run(store: "Store | None", stem: str) -> str:
    """The name of a run: `stem`, or where it is taken `stem-2` and so on."""
    taken = () if store is None else store.training_runs()
    names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def tuning_of(
    wanted: FineTuning, run: str, data: Data, epoch: Epoch, *, teacher: str = ""
) -> Tuning:
    """What a manifest says of a training called `run` that is done up to `epoch`."""
    return Tuning(
        run=run,
        data=wanted.data,
        teacher=teacher,
        recipe=wanted.recipe,
        images=len(data.train),
        validation_images=len(data.validation),
        epochs=epoch.number,
        accuracy=epoch.accuracy,
        validation_loss=epoch.validation_loss,
    )


def epoch_record(manifest: NetworkManifest, wanted: FineTuning, epoch: Epoch) -> EpochRecord:
    """The row of the store for an epoch of the manifest's last training."""
    return EpochRecord(
        run=manifest.tunings[-1].run,
        epoch=epoch.number,
        checkpoint=str(wanted.out),
        model=manifest.model,
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
        accuracy=epoch.accuracy,
        lr=epoch.lr,
        images_per_second=epoch.images_per_second,
        seconds=epoch.seconds,
        seed=wanted.recipe.seed,
        created_at=datetime.now(UTC),
    )
