"""`portfolio-training.json`: how a sparse training was asked for and which levels are complete."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hdap.fleet_data.atomic_files import writable, write_file
from hdap.fleet_data.errors import InputError

RECORD = "portfolio-training.json"
FORMAT = 1


@dataclass(frozen=True)
class SparseLevelRecord:
    """A level that is complete: `weights` of its prunable weights are left, a share `density`.

    `accuracy` is on validation images, `seconds` those of its training steps.
    """

    name: str
    density: float
    weights: int
    accuracy: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True)
class TrainingRecord:
    """A sparse training under way; `recipe` holds the fields of a training recipe.

    `weights` says in words where the dense weights came from. Each level loses `rate` of what the
    one before has, by magnitude over the whole network (`scope` global) or in each layer (layer),
    and goes on from the weights after `rewind` epochs.
    """

    model: str
    weights: str
    data: str
    recipe: Mapping[str, Any]
    rate: float
    scope: str
    rewind: int
    levels: tuple[SparseLevelRecord, ...] = ()

    def with_level(self, level: SparseLevelRecord) -> "TrainingRecord":
        """The record once one more level is complete."""
        return replace(self, levels=(*self.levels, level))

    def write(self, folder: Path) -> None:
        """Put it into `folder`, whole or not at all. Raises `InputError` when it cannot."""
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / f".{RECORD}", content.encode())
            (folder / f".{RECORD}").replace(folder / RECORD)


def read_record(folder: Path) -> TrainingRecord:
    """The record in `folder`. Raises `InputError` when there is none or it is damaged."""
    file = folder / RECORD
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        if raw.pop("format") != FORMAT:
            raise ValueError("it has another format")
        levels = tuple(SparseLevelRecord(**level) for level in raw.pop("levels"))
        return TrainingRecord(levels=levels, **raw)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{folder} must hold the levels of a sparse training, but reading {RECORD} failed "
            f"with {type(error).__name__}: {error}; make one: hdap portfolio train"
        ) from error
