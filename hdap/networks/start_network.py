"""Where a job begins: a checkpoint that is there, or the dense network."""

from pathlib import Path

from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import Checkpoint, load_checkpoint
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest, load_seeded
from hdap.networks.tracing import describe


def start_network(
    checkpoint: Path | None, model: str | None, source: WeightsSource, seed: int = 0
) -> Checkpoint:
    """The network in a checkpoint folder, else the dense one called `model` with these weights.

    Raises:
        InputError: weights come from two places, or no network is named at all.
        InputError, NotFoundError: as `load_checkpoint` and `load_seeded`.
    """
    if checkpoint is not None:
        if not source.random:
            raise InputError(
                "weights come from the checkpoint or from --weights or --pretrained, but got two "
                "of them; leave one out"
            )
        return load_checkpoint(checkpoint, model=model)
    if model is None:
        raise InputError(
            "a network must be named, but got neither a checkpoint nor --model; "
            "give one: --model resnet50"
        )
    loaded = load_seeded(model, source)
    architecture = describe(loaded.module, model, loaded.input_shape)
    return Checkpoint(loaded.module, dense_manifest(architecture, loaded.module, source, seed))
