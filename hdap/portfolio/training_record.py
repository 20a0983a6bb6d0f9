"""`portfolio-training.json`: how a sparse training was asked for and which levels are complete."""

from dataclasses import dataclass, replace
from pathlib import Path

from hdap.fleet_data.documents import JsonDocument, read_document, write_document
from hdap.requests.recipe import Recipe

RECORD = "portfolio-training.json"


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
class TrainingRecord(JsonDocument):
    """A sparse training under way.

    `weights` says in words where the dense weights came from. Each level loses `rate` of what the
    one before has, by magnitude over the whole network (`scope` global) or in each layer (layer),
    and goes on from the weights after `rewind` epochs.
    """

    WHAT = "of a sparse training that has levels"
    REMEDY = "make one: hdap portfolio train"
    FORMAT = 1

    model: str
    weights: str
    data: str
    recipe: Recipe
    rate: float
    scope: str
    rewind: int
    levels: tuple[SparseLevelRecord, ...] = ()

    def with_level(self, level: SparseLevelRecord) -> "TrainingRecord":
        """The record once one more level is complete."""
        return replace(self, levels=(*self.levels, level))

    def write(self, folder: Path) -> None:
        """Put it into `folder`, whole or not at all. Raises `InputError` when it cannot."""
        write_document(folder / RECORD, self)


def read_record(folder: Path) -> TrainingRecord:
    """The record in `folder`. Raises `InputError` when there is none or it is damaged."""
    return read_document(folder / RECORD, TrainingRecord)
