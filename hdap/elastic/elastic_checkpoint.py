"""Checkpoints of elastic networks: one weights file and one JSON, nothing that is executed.

They are those of `hdap.networks.checkpoint`, whose manifest says more: `model.json` holds the
levels and `model.safetensors` the shared weights, the norms of every level and the order of
channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.levels import Levels
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import fill, network_of
from hdap.networks.manifest import (
    MANIFEST,
    ElasticManifest,
    NetworkManifest,
    channels_by_name,
    read_manifest,
)
from hdap.networks.tracing import describe


@dataclass(frozen=True)
class ElasticCheckpoint:
    """An elastic network in eval mode at its widest level, and what its checkpoint says of it."""

    model: ElasticModel
    manifest: ElasticManifest


def load_elastic(path: str | Path, *, model: str | None = None) -> ElasticModel:
    """The elastic network in checkpoint folder `path`, on the CPU, in eval mode, at its widest.

    Nothing in the folder is executed. A network that came from the user's own factory needs that
    code: it runs only when the caller names it, `model="package.module:factory"`.

    Raises as `load_elastic_checkpoint`.
    """
    return load_elastic_checkpoint(path, model=model).model


def load_elastic_checkpoint(path: str | Path, *, model: str | None = None) -> ElasticCheckpoint:
    """The network and the manifest in checkpoint folder `path`.

    Raises `InputError` and `NotFoundError` as `hdap.networks.checkpoint.load_checkpoint`, and
    `InputError` when the checkpoint is no elastic one or its levels are not nested.
    """
    folder = Path(path)
    manifest = read_elastic_manifest(folder)
    network = network_of(folder, manifest, model)
    architecture = describe(network, manifest.model, manifest.input_shape, manifest.channels)
    levels = Levels(architecture, np.array([_row(architecture, x) for x in manifest.levels]))
    elastic = ElasticModel(network, architecture, levels, ordered=True)
    fill(elastic, folder)
    return ElasticCheckpoint(elastic, manifest)


def elastic_manifest(
    base: NetworkManifest, levels: Levels, mode: str, stages: int
) -> ElasticManifest:
    """The manifest of a network that becomes elastic."""
    named = tuple(channels_by_name(levels.architecture, row) for row in levels.counts)
    known = {field.name: getattr(base, field.name) for field in fields(NetworkManifest)}
    return ElasticManifest(**known, mode=mode, levels=named, stages=stages)


def read_elastic_manifest(folder: Path) -> ElasticManifest:
    """What an elastic checkpoint says about itself.

    Raises `InputError` when it cannot be read or is of another network.
    """
    found = read_manifest(folder)
    if not isinstance(found, ElasticManifest):
        raise InputError(
            f"{folder / MANIFEST} must be of an elastic network, but names no levels; "
            "make one: hdap elastic train"
        )
    return found


def _row(architecture: Architecture, channels: Mapping[str, int]) -> list[int]:
    names = [group.name for group in architecture.groups]
    if set(channels) != set(names):
        raise InputError(
            f"every level in {MANIFEST} must name the width groups of {architecture.model}, but "
            f"one differs in {min(set(channels) ^ set(names))}; the file is damaged: train again"
        )
    return [channels[name] for name in names]
