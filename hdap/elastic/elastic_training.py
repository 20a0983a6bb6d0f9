"""Training of all levels of one network, in the stages of a mode, with checkpoints on the way."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from hdap.elastic.elastic_checkpoint import (
    ElasticCheckpoint,
    elastic_manifest,
    load_elastic_checkpoint,
)
from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.level_checkpoints import Keeper
from hdap.elastic.levels import Levels
from hdap.elastic.masks import learn_masks
from hdap.elastic.modes import Stage, incremental, nested, split_epochs, stage_recipe
from hdap.fleet_data.errors import DivergedError, InputError
from hdap.networks.channel_importance import channel_importance
from hdap.networks.checkpoint import STATE
from hdap.networks.manifest import NetworkManifest
from hdap.training.datasets import Data
from hdap.training.finetuning import FineTuning, TrainingWatch, free_run
from hdap.training.network_quality import Quality, evaluate, recalibrate_on
from hdap.training.resuming import (
    require_as_begun,
    require_same_data,
    stored_snapshot,
)
from hdap.training.training_history import Epoch
from hdap.training.training_loop import Snapshot, best_device, train


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
    base: NetworkManifest,
    levels: Levels,
    data: Data,
    wanted: ElasticTraining,
    watch: TrainingWatch,
    *,
    replace_out: bool = False,
) -> ElasticResult:
    """Make `module`, which `base` describes, elastic, and train its levels by `wanted.mode`.

    `wanted.out` gets a checkpoint after every epoch; while `masked` learns its masks that is the
    network as it came, and only where the widest level is all of it. `module` stays as it is.

    Raises:
        DivergedError: the loss is not finite.
        InputError: mode, levels, epochs, data and network do not fit, or `out` cannot be written.
        UnsupportedModelError: the network's channels cannot be put in another order.
    """
    splits = split_epochs(wanted.mode, len(levels), wanted.recipe)
    manifest = elastic_manifest(base, levels, wanted.mode, len(splits))
    run = free_run(watch.store, wanted.run or wanted.out.name)
    kept = Keeper(manifest, data, wanted, watch, run, force=replace_out)
    if wanted.mode == "masked":
        return _masked(module, levels, data, wanted, splits, kept, None)
    model = ElasticModel(module, levels.architecture, levels)
    return _Stages(model, data, wanted, splits, kept).run(0, None)


def go_on(
    begun: Unfinished, data: Data, wanted: ElasticTraining, watch: TrainingWatch
) -> ElasticResult:
    """Go on with a training from `unfinished`; errors as for `train_elastic`."""
    there = begun.checkpoint
    tuning = there.manifest.tunings[-1]
    require_same_data(tuning, data)
    splits = split_epochs(wanted.mode, len(there.model.levels), wanted.recipe)
    kept = Keeper(there.manifest, data, wanted, watch, tuning.run, force=True)
    if wanted.mode == "masked" and there.manifest.stage == 0:
        levels = there.model.levels
        whole = there.model.materialise(len(levels) - 1)
        return _masked(whole, levels, data, wanted, splits, kept, begun.snapshot)
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


def _masked(
    module: nn.Module,
    levels: Levels,
    data: Data,
    wanted: ElasticTraining,
    splits: tuple[int, ...],
    kept: Keeper,
    resume: Snapshot | None,
) -> ElasticResult:
    """Learn the order of channels on a copy, then train the levels from the weights as they were.

    Weights under soft masks grow to undo them; what is learned of use is the order.
    """
    architecture = levels.architecture
    whole = bool((levels.counts[-1] == architecture.widths).all())
    as_it_came = ElasticModel(module, architecture, levels, ordered=True) if whole else None

    def keep(epoch: Epoch, snapshot: Callable[[], Snapshot]) -> None:
        if as_it_came is None:
            kept.tell(epoch)
        else:
            kept.keep(as_it_came, 0, epoch, snapshot, weights=True)

    scores, _ = learn_masks(
        copy.deepcopy(module),
        levels,
        channel_importance(module, architecture),
        data,
        stage_recipe(wanted.recipe, splits[0]),
        on_epoch=keep,
        on_step=kept.watch.on_step,
        resume=resume,
        workers=wanted.workers,
    )
    model = ElasticModel(module, architecture, levels, scores=scores)
    return _Stages(model, data, wanted, splits, kept).run(1, None)


class _Stages:
    """The stages of a mode, one call of the training loop each."""

    def __init__(
        self,
        model: ElasticModel,
        data: Data,
        wanted: ElasticTraining,
        splits: tuple[int, ...],
        kept: Keeper,
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
