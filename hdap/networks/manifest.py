"""`model.json` of a checkpoint: what the network is and where it comes from. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdap.fleet_data.architecture import Architecture, InputShapes
from hdap.fleet_data.documents import JsonDocument, read_document
from hdap.requests.recipe import Recipe

WEIGHTS, MANIFEST = "model.safetensors", "model.json"


@dataclass(frozen=True)
class Origin:
    """The trial that a network is. `database` has no password; latencies are predicted, ms.

    `measurement_mark` says up to which measurement the clustering of the study had read.
    """

    study: str
    trial: int
    database: str
    clustering: int
    measurement_mark: int
    predicted_fleet_mean_ms: float
    predicted_fleet_mean_low_ms: float
    predicted_fleet_mean_high_ms: float


@dataclass(frozen=True)
class Tuning:
    """A training that a network went through.

    `run` is its name in the table `epochs`, `data` what `--data` named, `teacher` in words whose
    opinion it learned from (empty: nobody's). It learned from `images` and was judged by
    `validation_images`: after `epochs` of them it has `accuracy` (the share that is right) and
    `validation_loss` (nats). Where `loss` names a function of the user's own, that is the loss, and
    accuracy is what the function `metric` gave; None where there is no such function.
    """

    run: str
    data: str
    teacher: str
    recipe: Recipe
    images: int
    validation_images: int
    epochs: int
    accuracy: float | None
    validation_loss: float
    loss: str = ""
    metric: str = ""


@dataclass(frozen=True)
class NetworkManifest(JsonDocument):
    """Everything about a checkpoint beside its weights.

    `architecture` is the digest of the dense model's description, `channels` holds the count and
    `dense` the full width of every width group. `weights` says in words where the dense weights
    came from and `weights_sha256` which they were (of the file, else of the tensors);
    `safetensors_sha256` is that of the weights file beside. `versions` are those of the libraries;
    `tunings` the trainings since it was pruned, in order.
    """

    WHAT = f"of a checkpoint, a folder with {MANIFEST} and {WEIGHTS}"
    REMEDY = "use the hdap that wrote it, or make one: hdap prune"
    FORMAT = 1

    model: str
    input_shape: InputShapes
    architecture: str
    channels: Mapping[str, int]
    dense: Mapping[str, int]
    flops: int
    parameters: int
    criterion: str
    seed: int
    weights: str
    weights_sha256: str
    versions: Mapping[str, str]
    safetensors_sha256: str = ""
    origin: Origin | None = None
    tunings: tuple[Tuning, ...] = ()

    @classmethod
    def kind_of(cls, raw: Mapping[str, Any]) -> type[JsonDocument]:
        return ElasticManifest if "levels" in raw else cls


@dataclass(frozen=True, kw_only=True)
class ElasticManifest(NetworkManifest):
    """A manifest with levels: `channels` are those of the network that became elastic.

    `levels` are counts by width group, the narrowest first. `mode` is how it is trained and `stage`
    which of its stages the last of `tunings` is, of `stages`. `accuracies` are those of all levels
    on validation images once training is done.
    """

    mode: str
    levels: tuple[Mapping[str, int], ...]
    stage: int = 0
    stages: int
    accuracies: tuple[float, ...] = ()


def read_manifest(folder: Path) -> NetworkManifest:
    """What a checkpoint says about itself, with its levels where it is elastic.

    Raises `InputError` when that cannot be read.
    """
    return read_document(folder / MANIFEST, NetworkManifest)


def channels_by_name(architecture: Architecture, counts: Any) -> dict[str, int]:
    """Counts (`groups`) as a table by the name of the width group, in the architecture's order."""
    return {g.name: int(c) for g, c in zip(architecture.groups, counts, strict=True)}
