"""Training of all levels of one network, in the stages of a mode, with checkpoints on the way."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from torch import nn

from hdap.elastic.checkpoint import ElasticCheckpoint, ElasticManifest, load_elastic_checkpoint
from hdap.elastic.levels import Levels
from hdap.elastic.masks import learn_masks
from hdap.elastic.model import ElasticModel
from hdap.elastic.modes import Stage, incremental, nested, split_epochs, stage_recipe
from hdap.fleet_data.errors import DivergedError, InputError
from hdap.models.importance import channel_importance
from hdap.models.surgery import Scores
from hdap.pruning.checkpoint import STATE, save_checkpoint
from hdap.pruning.manifest import Manifest, Tuning
from hdap.training.data import Data
from hdap.training.distributed import rank
from hdap.training.evaluation import Quality, evaluate, recalibrate_on
from hdap.training.finetuning import FineTuning, Watch, epoch_record, free_run
from hdap.training.history import Epoch
from hdap.training.loop import Snapshot, best_device, train
from hdap.training.resuming import (
    encode,
    require_as_begun,
    require_same_data,
    stored_snapshot,
)


@dataclass(frozen=True)
class ElasticTraining(FineTuning):
    """What is to be done; `mode` is one of `hdap.elastic.modes.MODES`. `teacher` plays no part."""

    mode: str = "nested"


@dataclass(frozen=True)
class Unfinished:
    """A training that was stopped, as its folder keeps it."""

    checkpoint: ElasticCheckpoint
    snapshot: Snapshot


@dataclass(frozen=True)
class ElasticResult:
    """The trained network, how good each level is, and the epochs that this call did.

    Epochs are numbered over all stages; the accuracy of an epoch is that of the widest level that
    its stage trains.
    """

    checkpoint: ElasticCheckpoint
    qualities: tuple[Quality, ...]
    epochs: tuple[Epoch, ...]


def train_elastic(
    module: nn.Module,
    base: Manifest,
    levels: Levels,
    data: Data,
    wanted: ElasticTraining,
    watch: Watch,
    *,
    replace_out: bool = False,
) -> ElasticResult:
    """Make `module`, which `base` describes, elastic, and train its levels by `wanted.mode`.

    `wanted.out` gets a checkpoint after every epoch (`masked`: of its second stage). The module
    itself stays as it is.

    Raises:
        DivergedError: the loss is not finite.
        InputError: mode, levels, epochs, data and network do not fit, or `out` cannot be written.
        UnsupportedModelError: the network's channels cannot be put in another order.
    """
    splits = split_epochs(wanted.mode, len(levels), wanted.recipe)
    manifest = ElasticManifest.of(base, levels, wanted.mode, len(splits))
    run = free_run(watch.store, wanted.run or wanted.out.name)
    kept = _Keeper(manifest, data, wanted, watch, run, force=replace_out)
    scores: tuple[Scores, ...] | None = None
    if wanted.mode == "masked":
        scores = _masks(module, levels, data, wanted, splits[0], kept)
    model = ElasticModel(module, levels.architecture, levels, scores=scores)
    return _Stages(model, data, wanted, splits, kept).run(int(wanted.mode == "masked"), None)


def go_on(begun: Unfinished, data: Data, wanted: ElasticTraining, watch: Watch) -> ElasticResult:
    """Go on with a training from `unfinished`; errors as for `train_elastic`."""
    there = begun.checkpoint
    tuning = there.manifest.tunings[-1]
    require_same_data(tuning, data)
    splits = split_epochs(wanted.mode, len(there.model.levels), wanted.recipe)
    kept = _Keeper(there.manifest, data, wanted, watch, tuning.run, force=True)
    stages = _Stages(there.model, data, wanted, splits, kept)
    return stages.run(there.manifest.stage, begun.snapshot)


def unfinished(wanted: ElasticTraining, *, model: str | None = None) -> Unfinished:
    """The training in `wanted.out` that goes on; `model` as for `load_elastic`.

    Raises `InputError` when there is none, when it is complete, or when it was begun otherwise.
    """
    there = load_elastic_checkpoint(wanted.out, model=model)
    if not (wanted.out / STATE).is_file() or not there.manifest.tunings:
        raise InputError(
            f"`--resume` needs a training that goes on, but that in {wanted.out} is complete; "
            "leave --resume out and name another --out"
        )
    require_as_begun(there.manifest.tunings[-1], wanted.recipe, wanted.data)
    if there.manifest.mode != wanted.mode:
        raise InputError(
            f"a training goes on as it began, with --mode {there.manifest.mode}, but got "
            f"{wanted.mode}; leave the option out or begin anew in another --out"
        )
    return Unfinished(there, stored_snapshot(wanted.out, there.model))


def judge(model: ElasticModel, data: Data, *, workers: int = 0) -> tuple[Quality, ...]:
    """How good each level is on validation images; the widest level is set afterwards."""
    found = []
    for level in range(len(model.levels)):
        model.set_level(level)
        found.append(evaluate(model, data.validation, workers=workers))
    return tuple(found)


def _masks(
    module: nn.Module,
    levels: Levels,
    data: Data,
    wanted: ElasticTraining,
    epochs: int,
    kept: "_Keeper",
) -> tuple[Scores, ...]:
    # Weights under soft masks grow to undo them; what is learned of use is the order.
    scores, _ = learn_masks(
        copy.deepcopy(module),
        levels,
        channel_importance(module, levels.architecture),
        data,
        stage_recipe(wanted.recipe, epochs),
        on_epoch=lambda epoch, snapshot: kept.tell(epoch),
        on_step=kept.watch.on_step,
        workers=wanted.workers,
    )
    return scores


class _Stages:
    """The stages of a mode, one call of the training loop each."""

    def __init__(
        self,
        model: ElasticModel,
        data: Data,
        wanted: ElasticTraining,
        splits: tuple[int, ...],
        kept: "_Keeper",
    ) -> None:
        self._model, self._data, self._wanted = model.to(best_device()), data, wanted
        self._splits, self._kept = splits, kept

    def run(self, first: int, resume: Snapshot | None) -> ElasticResult:
        for index in range(first, len(self._splits)):
            self._train(index, resume if index == first else None)
        if self._wanted.mode != "incremental":
            # of levels between, which not every step trains, running means are behind
            self._recalibrate(range(len(self._model.levels)))
        qualities = judge(self._model, self._data, workers=self._wanted.workers)
        self._model.eval().set_level(len(qualities) - 1)
        manifest = self._kept.finish(self._model, qualities)
        checkpoint = ElasticCheckpoint(self._model, manifest)
        return ElasticResult(checkpoint, qualities, tuple(self._kept.epochs))

    def _train(self, index: int, resume: Snapshot | None) -> None:
        stage = self._stage(index)
        if resume is None:
            self._recalibrate(stage.levels)
        self._model.set_level(stage.levels[-1])
        before = sum(self._splits[:index])
        try:
            train(
                self._model,
                self._data,
                stage.recipe,
                losses=stage.losses,
                after_step=stage.after_step,
                on_epoch=lambda epoch, snapshot: self._kept.keep(
                    self._model, index, replace(epoch, number=before + epoch.number), snapshot
                ),
                on_step=self._kept.watch.on_step,
                resume=resume,
                workers=self._wanted.workers,
            )
        except DivergedError as error:
            raise DivergedError(f"{error}; {self._kept.last_good}") from error

    def _stage(self, index: int) -> Stage:
        recipe = stage_recipe(self._wanted.recipe, self._splits[index])
        if self._wanted.mode == "incremental":
            return incremental(self._model, recipe, index)
        return nested(self._model, recipe)

    def _recalibrate(self, levels: "range | tuple[int, ...]") -> None:
        recipe = self._wanted.recipe
        for level in levels if recipe.recalibration else ():
            self._model.set_level(level)
            recalibrate_on(
                self._model,
                self._data.train,
                count=recipe.recalibration,
                batch_size=recipe.batch_size,
                seed=recipe.seed,
            )


class _Keeper:
    """Writes what an epoch leaves: the checkpoint, then the row that says so."""

    def __init__(
        self,
        manifest: ElasticManifest,
        data: Data,
        wanted: ElasticTraining,
        watch: Watch,
        run: str,
        *,
        force: bool,
    ) -> None:
        self.watch, self.epochs = watch, list[Epoch]()
        self._manifest, self._data, self._wanted = manifest, data, wanted
        self._run, self._force, self._written = run, force, 0
        earlier = manifest.tunings
        self._earlier = earlier[:-1] if earlier and earlier[-1].run == run else earlier

    @property
    def last_good(self) -> str:
        """For an error: what is in the folder."""
        if not self._written:
            return "no epoch of this run was written"
        return f"{self._wanted.out} holds the last good checkpoint, of epoch {self._written}"

    def keep(
        self,
        model: ElasticModel,
        stage: int,
        epoch: Epoch,
        snapshot: Callable[[], Snapshot],
    ) -> None:
        """A checkpoint that can be gone on with."""
        self._note(epoch, stage)
        if rank() == 0:
            self._save(model, encode(snapshot()))
        self._written = epoch.number
        self.tell(epoch)

    def tell(self, epoch: Epoch) -> None:
        """A row and a line, no checkpoint."""
        self.epochs.append(epoch)
        self._note(epoch, self._manifest.stage)
        if rank() == 0 and self.watch.store is not None:
            self.watch.store.save_epochs([epoch_record(self._manifest, self._wanted, epoch)])
        if self.watch.on_epoch is not None:
            self.watch.on_epoch(epoch)

    def finish(self, model: ElasticModel, qualities: tuple[Quality, ...]) -> ElasticManifest:
        """The checkpoint of a training that is complete."""
        *earlier, last = self._manifest.tunings
        best = qualities[-1]
        last = replace(last, accuracy=best.accuracy, validation_loss=best.loss)
        accuracies = tuple(quality.accuracy for quality in qualities)
        self._manifest = replace(self._manifest, tunings=(*earlier, last), accuracies=accuracies)
        if rank() == 0:
            self._save(model, None)
        return self._manifest

    def _note(self, epoch: Epoch, stage: int) -> None:
        tuning = Tuning(
            run=self._run,
            data=self._wanted.data,
            teacher="",
            recipe=asdict(self._wanted.recipe),
            images=len(self._data.train),
            validation_images=len(self._data.validation),
            epochs=epoch.number,
            accuracy=epoch.accuracy,
            validation_loss=epoch.validation_loss,
        )
        tunings = (*self._earlier, tuning)
        self._manifest = replace(self._manifest, tunings=tunings, stage=stage)

    def _save(self, model: ElasticModel, state: bytes | None) -> None:
        try:
            self._manifest = save_checkpoint(
                self._wanted.out, model, self._manifest, force=self._force, state=state
            )
        except InputError as error:
            raise InputError(f"{error}; {self.last_good}") from error
        self._force = True
