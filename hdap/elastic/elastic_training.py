"""Training of all levels of one network, in the stages of a mode, with checkpoints on the way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from torch import nn

from hdap.elastic.elastic_checkpoint import (
    ElasticCheckpoint,
    elastic_manifest,
    load_elastic_checkpoint,
)
from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.levels import Levels
from hdap.elastic.masks import SoftMasks, jointly
from hdap.elastic.modes import incremental, nested, split_epochs, stage_recipe
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import STATE
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.manifest import ElasticManifest, NetworkManifest
from hdap.networks.network_copies import duplicate
from hdap.requests.training_request import ElasticTraining
from hdap.training.datasets import Data
from hdap.training.load_data import image_readers
from hdap.training.network_quality import Quality, evaluate, recalibrate_by
from hdap.training.training_loop import best_device
from hdap.training.training_session import (
    TrainingSession,
    TrainingWatch,
    require_as_begun,
)
from hdap.training.training_state import Epoch, Snapshot, stored_snapshot

Session = TrainingSession[ElasticManifest]


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
    session = TrainingSession(manifest, data, wanted, watch, force=replace_out)
    if wanted.mode == "masked":
        return _train_stages(session, _ordered(session, module, levels, splits[0]), splits, 1)
    return _train_stages(session, ElasticModel(module, levels.architecture, levels), splits, 0)


def go_on(
    begun: Unfinished, data: Data, wanted: ElasticTraining, watch: TrainingWatch
) -> ElasticResult:
    """Go on with a training from `unfinished`; errors as for `train_elastic`."""
    model, manifest = begun.checkpoint.model, begun.checkpoint.manifest
    session = TrainingSession(manifest, data, wanted, watch, resumed=True)
    splits = split_epochs(wanted.mode, len(model.levels), wanted.recipe)
    if wanted.mode == "masked" and manifest.stage == 0:
        whole = model.materialise(len(model.levels) - 1)
        model = _ordered(session, whole, model.levels, splits[0], begun.snapshot)
        return _train_stages(session, model, splits, 1)
    return _train_stages(session, model, splits, manifest.stage, begun.snapshot)


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
    require_as_begun(there.manifest.tunings[-1], wanted)
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


def _ordered(
    session: Session,
    module: nn.Module,
    levels: Levels,
    epochs: int,
    resume: Snapshot | None = None,
) -> ElasticModel:
    """Learn the order of channels on a copy; the levels begin with the weights as they were.

    Weights under soft masks grow to undo them; what is learned of use is the order.
    """
    architecture = levels.architecture
    recipe = stage_recipe(session.wanted.recipe, epochs)
    whole = bool((levels.counts[-1] == architecture.widths).all())
    as_it_came = ElasticModel(module, architecture, levels, ordered=True) if whole else None
    masks = SoftMasks(duplicate(module), levels, lookahead_scores(module, architecture))

    def keep(epoch: Epoch, snapshot: Callable[[], Snapshot]) -> None:
        if as_it_came is not None:
            session.save(as_it_came, snapshot, weights=True)

    losses = jointly(recipe, len(levels))
    session.train(masks, recipe, checkpoint=keep, losses=losses, resume=resume)
    return ElasticModel(module, architecture, levels, scores=masks.scores())


def _train_stages(
    session: Session,
    model: ElasticModel,
    splits: tuple[int, ...],
    first: int,
    resume: Snapshot | None = None,
) -> ElasticResult:
    """The stages of a mode from the `first` on, one call of the training loop each."""
    wanted, data = session.wanted, session.data
    mode = session.manifest.mode
    model.to(best_device())
    for index in range(first, len(splits)):
        recipe = stage_recipe(wanted.recipe, splits[index])
        stage = (
            incremental(model, recipe, index) if mode == "incremental" else nested(model, recipe)
        )
        session.manifest = replace(session.manifest, stage=index)
        if resume is None:
            _recalibrate(session, model, stage.levels)
        model.set_level(stage.levels[-1])
        session.train(
            model,
            recipe,
            losses=stage.losses,
            after_step=stage.after_step,
            resume=resume,
            before=sum(splits[:index]),
        )
        resume = None
    if mode != "incremental":
        # of levels between, which not every step trains, running means are behind
        _recalibrate(session, model, range(len(model.levels)))
    qualities = judge(model, data, workers=image_readers(wanted.workers, wanted.data))
    model.eval().set_level(len(qualities) - 1)
    *earlier, last = session.manifest.tunings
    last = replace(last, accuracy=qualities[-1].accuracy, validation_loss=qualities[-1].loss)
    session.manifest = replace(
        session.manifest,
        tunings=(*earlier, last),
        accuracies=tuple(quality.accuracy for quality in qualities),
    )
    session.save(model)
    return ElasticResult(
        ElasticCheckpoint(model, session.manifest), qualities, tuple(session.epochs)
    )


def _recalibrate(session: Session, model: ElasticModel, levels: Iterable[int]) -> None:
    for level in levels:
        model.set_level(level)
        recalibrate_by(session.wanted.recipe, model, session.data.train)
