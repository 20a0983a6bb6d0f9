"""`portfolio-training.json`: how a sparse training was asked for and which levels are complete."""

import re
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hdap.fleet_data.atomic_files import require_free_folder
from hdap.fleet_data.documents import JsonDocument, read_document, write_document
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import FILES
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import SparseTraining
from hdap.training.training_session import require_unchanged

RECORD = "portfolio-training.json"
REWIND = "rewind"
"""The checkpoint of the rewind point, beside the levels."""

_LEVEL = re.compile(r"level-\d{2,}")


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

    `weights` says in words where the dense weights came from; `asked` is the number of sparse
    levels. Each level loses `rate` of what the one before has, by magnitude over the whole network
    (`scope` global) or in each layer (layer), and goes on from the weights after `rewind` epochs.
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
    asked: int = SparseTraining.levels
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


def resumable(wanted: SparseTraining) -> TrainingRecord:
    """The training in `wanted.out`.

    Raises `InputError` when there is none, no level of it is complete, all are, or it was begun
    otherwise.
    """
    record = read_record(wanted.out)
    chosen = ("data", "rate", "scope")
    begun, now = ({name: getattr(x, name) for name in chosen} for x in (record, wanted))
    require_unchanged(
        {**asdict(record.recipe), **begun, "rewind": record.rewind},
        {**asdict(wanted.recipe), **now, "rewind": wanted.rewind_to},
        "a sparse training",
    )
    done = len(record.levels)
    if not done:
        raise InputError(
            f"`--resume` needs a level that is complete, but {wanted.out} has none; "
            "begin anew with --force"
        )
    if done > wanted.levels:
        raise InputError(
            f"`--resume` needs levels to do, but {wanted.out} has all {done - 1}; "
            "give more --sparse-levels"
        )
    return record


def require_free(out: Path, force: bool) -> None:
    """Raises `InputError` where `out` holds anything; with `force` an earlier training goes."""
    own = {RECORD, REWIND}
    if out.is_dir():
        own |= {path.name for path in out.iterdir() if _LEVEL.fullmatch(path.name)}
    require_free_folder(out, force, frozenset(own))
    for name in own if out.is_dir() else ():
        if (out / name).is_dir():
            require_free_folder(out / name, True, FILES)
            shutil.rmtree(out / name)
