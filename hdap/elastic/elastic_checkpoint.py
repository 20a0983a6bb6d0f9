"""Checkpoints of elastic networks: one weights file and one JSON, nothing that is executed.

They are those of `hdap.networks.checkpoint`, whose manifest says more: `model.json` holds the
levels and `model.safetensors` the shared weights, the norms of every level and the order of
channels.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.levels import Levels
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import MANIFEST, fill, network_of, read_manifest
from hdap.networks.manifest import NetworkManifest, channels_by_name
from hdap.networks.tracing import describe


@dataclass(frozen=True)
class ElasticManifest(NetworkManifest):
    """A manifest with levels: `channels` are those of the network that became elastic.

    `mode` is how it is trained and `stage` which of its stages the last of `tunings` is, of
    `stages`. `accuracies` are those of all levels on validation images once training is done.
    """

    mode: str = ""
    levels: tuple[Mapping[str, int], ...] = ()
    stage: int = 0
    stages: int = 1
    accuracies: tuple[float, ...] = ()

    @classmethod
    def of(cls, base: NetworkManifest, levels: Levels, mode: str, stages: int) -> "ElasticManifest":
        """The manifest of a network that becomes elastic."""
        named = tuple(channels_by_name(levels.architecture, row) for row in levels.counts)
        fields = {name: getattr(base, name) for name in NetworkManifest.__dataclass_fields__}
        return cls(**fields, mode=mode, levels=named, stages=stages)

    @classmethod
    def from_json(cls, text: str) -> "ElasticManifest":
        """Inverse of `to_json`. Raises `InputError` as the base does, or without levels."""
        base, raw = NetworkManifest.from_json(text), json.loads(text)
        fields = {name: getattr(base, name) for name in NetworkManifest.__dataclass_fields__}
        levels, mode = raw.get("levels"), raw.get("mode")
        if not isinstance(levels, list) or not isinstance(mode, str):
            raise InputError(
                f"{MANIFEST} must be of an elastic network, but names no levels; "
                "make one: hdap elastic train"
            )
        try:
            rows = tuple({str(k): int(v) for k, v in level.items()} for level in levels)
            accuracies = tuple(float(value) for value in raw["accuracies"])
            stage, stages = int(raw["stage"]), int(raw["stages"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"`levels` in {MANIFEST} must be counts by width group, but reading them failed "
                f"with {type(error).__name__}: {error}; the file is damaged: train again"
            ) from error
        return cls(
            **fields, mode=mode, levels=rows, stage=stage, stages=stages, accuracies=accuracies
        )


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
    architecture = describe(network, manifest.model, manifest.input_shape)
    levels = Levels(architecture, np.array([_row(architecture, x) for x in manifest.levels]))
    elastic = ElasticModel(network, architecture, levels, ordered=True)
    fill(elastic, folder)
    return ElasticCheckpoint(elastic, manifest)


def read_elastic_manifest(folder: Path) -> ElasticManifest:
    """What an elastic checkpoint says about itself. Raises `InputError` when it cannot be read."""
    read_manifest(folder)  # names what is wrong with the file
    return ElasticManifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))


def is_elastic(folder: Path) -> bool:
    """Whether a checkpoint holds levels; raises `InputError` when its manifest cannot be read."""
    read_manifest(folder)
    return "levels" in json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def _row(architecture: Architecture, channels: Mapping[str, Any]) -> list[int]:
    names = [group.name for group in architecture.groups]
    if set(channels) != set(names):
        raise InputError(
            f"every level in {MANIFEST} must name the width groups of {architecture.model}, but "
            f"one differs in {min(set(channels) ^ set(names))}; the file is damaged: train again"
        )
    return [channels[name] for name in names]
