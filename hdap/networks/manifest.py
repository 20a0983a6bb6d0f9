"""`model.json` of a checkpoint: what the network is and where it comes from. No torch here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError

FORMAT = 1


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
    opinion it learned from (empty: nobody's), `recipe` the fields of `hdap.requests.recipe.Recipe`.
    It learned from `images` and was judged by `validation_images`: after `epochs` of them it has
    `accuracy` (the share that is right) and `validation_loss` (nats).
    """

    run: str
    data: str
    teacher: str
    recipe: Mapping[str, Any]
    images: int
    validation_images: int
    epochs: int
    accuracy: float
    validation_loss: float


@dataclass(frozen=True)
class NetworkManifest:
    """Everything about a checkpoint beside its weights.

    `architecture` is the digest of the dense model's description, `channels` holds the count and
    `dense` the full width of every width group. `weights` says in words where the dense weights
    came from and `weights_sha256` which they were (of the file, else of the tensors);
    `safetensors_sha256` is that of the weights file beside. `versions` are those of the libraries;
    `tunings` the trainings since it was pruned, in order.
    """

    model: str
    input_shape: tuple[int, int, int]
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

    def to_json(self) -> str:
        """Readable JSON; `from_json` reads it back to an equal object."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "NetworkManifest":
        """Inverse of `to_json`; fields that it does not know are ignored.

        Raises `InputError` for what is no JSON, another format, or a field that is missing or of
        another type, which is named.
        """
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise InputError(f"model.json must hold JSON, but reading it failed: {error}") from None
        if not isinstance(raw, dict):
            raise InputError("model.json must hold a JSON object, but holds something else")
        if raw.get("format") != FORMAT:
            raise InputError(
                f"model.json must have format {FORMAT}, but has {raw.get('format')!r}; "
                "use the hdap that wrote it, or prune again"
            )
        origin = raw.get("origin")
        fields: dict[str, Any] = {name: _field(raw, name, kind) for name, kind in _KINDS.items()}
        fields |= {name: _table(raw, name, kind) for name, kind in _TABLES.items()}
        fields["input_shape"] = _shape(raw)
        fields["origin"] = None if origin is None else _origin(_field(raw, "origin", dict))
        fields["tunings"] = _tunings(raw)
        return cls(**fields)


_KINDS: dict[str, type] = {
    "model": str,
    "architecture": str,
    "flops": int,
    "parameters": int,
    "criterion": str,
    "seed": int,
    "weights": str,
    "weights_sha256": str,
    "safetensors_sha256": str,
}
_TABLES: dict[str, type] = {"channels": int, "dense": int, "versions": str}
_ORIGIN: dict[str, type] = {
    "study": str,
    "trial": int,
    "database": str,
    "clustering": int,
    "measurement_mark": int,
    "predicted_fleet_mean_ms": float,
    "predicted_fleet_mean_low_ms": float,
    "predicted_fleet_mean_high_ms": float,
}
_TUNING: dict[str, type] = {
    "run": str,
    "data": str,
    "teacher": str,
    "recipe": dict,
    "images": int,
    "validation_images": int,
    "epochs": int,
    "accuracy": float,
    "validation_loss": float,
}


def channels_by_name(architecture: Architecture, counts: Any) -> dict[str, int]:
    """Counts (`groups`) as a table by the name of the width group, in the architecture's order."""
    return {g.name: int(c) for g, c in zip(architecture.groups, counts, strict=True)}


def _field(raw: Mapping[str, Any], name: str, kind: type) -> Any:
    value = raw.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        shown = "is missing" if name not in raw else f"is {str(value)[:40]!r}"
        raise InputError(
            f"`{name}` in model.json must be a {kind.__name__}, but {shown}; "
            "the file is damaged: prune again"
        )
    return value


def _table(raw: Mapping[str, Any], name: str, kind: type) -> dict[str, Any]:
    table = _field(raw, name, dict)
    return {key: _field(table, key, kind) for key in table}


def _shape(raw: Mapping[str, Any]) -> tuple[int, int, int]:
    sizes = _field(raw, "input_shape", list)
    if len(sizes) != 3 or not all(type(n) is int and n > 0 for n in sizes):
        raise InputError(f"`input_shape` in model.json must be three sizes, but is {sizes}")
    return sizes[0], sizes[1], sizes[2]


def _origin(raw: Mapping[str, Any]) -> Origin:
    return Origin(**{name: _field(raw, name, kind) for name, kind in _ORIGIN.items()})


def _tunings(raw: Mapping[str, Any]) -> tuple[Tuning, ...]:
    if "tunings" not in raw:
        return ()
    found = _field(raw, "tunings", list)
    if not all(isinstance(one, dict) for one in found):
        raise InputError("`tunings` in model.json must be objects; the file is damaged")
    return tuple(
        Tuning(**{name: _field(one, name, kind) for name, kind in _TUNING.items()}) for one in found
    )
