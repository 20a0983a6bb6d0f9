"""Sparse checkpoints: levels of one training, or a sparse network of the user's own."""

from dataclasses import dataclass
from pathlib import Path

from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import Checkpoint, load_checkpoint
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest, load_seeded
from hdap.networks.tracing import trace
from hdap.portfolio.densify import zero_share
from hdap.portfolio.sparse_training import RECORD, read_record

LEAST_ZEROS = 0.01
"""The share of zero weights below which a network is dense: training leaves hardly any at zero."""


@dataclass(frozen=True)
class SparseLevel:
    """A network at full width whose zero weights are its masks.

    `density` is the share of weights that are not zero, of those that its training prunes, else of
    all convolutions and linear layers; `accuracy` is what its training ended with and
    `train_seconds` what that took, where it is known.
    """

    name: str
    checkpoint: Checkpoint
    density: float
    accuracy: float | None
    train_seconds: float | None


def read_sparse(path: Path, model: str | None) -> tuple[SparseLevel, ...]:
    """The levels that `hdap portfolio train` left in folder `path`, the dense one first.

    Or one level: of a checkpoint folder, or of a weights file (safetensors, or a torch file of
    tensors) of the model called `model`, which a checkpoint needs only where it is a factory.
    Weights may be masked as torch.nn.utils.prune does (`weight_orig`, `weight_mask`).

    Raises:
        InputError: nothing is there, a level is missing or damaged, a tensor does not fit the
            model, or a network of the user's own is dense.
        NotFoundError: the model is not there.
    """
    if (path / RECORD).is_file():
        return _levels(path, model)
    if path.is_dir():
        checkpoint = load_checkpoint(path, model=model)
    elif model is None:
        raise InputError(f"`--sparse` needs a model for weights such as {path.name}; give --model")
    else:
        checkpoint = _from_file(path, model)
    return (_of_the_user(path, checkpoint),)


def _levels(folder: Path, model: str | None) -> tuple[SparseLevel, ...]:
    record = read_record(folder)
    if not record.levels:
        raise InputError(
            f"{folder} must hold a level that is complete, but its training was stopped before; "
            "go on: hdap portfolio train --resume"
        )
    found = []
    for level in record.levels:
        checkpoint = load_checkpoint(folder / level.name, model=model)
        found.append(
            SparseLevel(level.name, checkpoint, level.density, level.accuracy, level.seconds)
        )
    return tuple(found)


def _from_file(path: Path, model: str) -> Checkpoint:
    source = WeightsSource(path)
    loaded = load_seeded(model, source)
    architecture = trace(loaded.module, name=model, input_shape=loaded.input_shape)
    return Checkpoint(
        loaded.module, dense_manifest(architecture, loaded.module, source, told=loaded.told)
    )


def _of_the_user(path: Path, checkpoint: Checkpoint) -> SparseLevel:
    zeros = zero_share(checkpoint.module)
    if zeros < LEAST_ZEROS:
        raise InputError(
            f"a sparse network must have at least {LEAST_ZEROS:.0%} of its weights at zero, but in "
            f"{path} {zeros:.2%} are; train one: hdap portfolio train, or use --flops"
        )
    tunings = checkpoint.manifest.tunings
    accuracy = tunings[-1].accuracy if tunings else None
    return SparseLevel(path.stem, checkpoint, 1.0 - zeros, accuracy, None)
