"""What a sparse training is asked for, and what its folder may hold."""

import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from hdap.fleet_data.atomic_files import require_free_folder
from hdap.fleet_data.errors import InputError, require_rules
from hdap.networks.checkpoint import FILES
from hdap.portfolio.magnitude import SCOPES
from hdap.portfolio.training_record import RECORD, TrainingRecord, read_record
from hdap.training.training_session import TrainingRequest, require_unchanged

REWIND = "rewind"
"""The checkpoint of the rewind point, beside the levels."""

_LEVEL = re.compile(r"level-\d{2,}")


@dataclass(frozen=True)
class SparseTraining(TrainingRequest):
    """What is to be done: `levels` sparse ones after the dense one; `teacher` plays no part.

    Each loses `rate` of the weights that are left, by `scope` (see `hdap.portfolio.magnitude`), and
    goes on from the weights after `rewind` epochs of the dense training, 0: from its first ones.
    Raises `InputError` when a number is out of range.
    """

    levels: int = 25
    rate: float = 0.2
    rewind: int = 1
    scope: str = "global"

    def __post_init__(self) -> None:
        rules = {
            "levels >= 1": self.levels >= 1,
            "0 < rate < 1": 0 < self.rate < 1,
            f"0 <= rewind < {self.recipe.epochs} epochs": 0 <= self.rewind < self.recipe.epochs,
            f"scope is one of {', '.join(SCOPES)}": self.scope in SCOPES,
        }
        require_rules(self, "a sparse training", rules)


def resumable(wanted: SparseTraining) -> TrainingRecord:
    """The training in `wanted.out`.

    Raises `InputError` when there is none, no level of it is complete, all are, or it was begun
    otherwise.
    """
    record = read_record(wanted.out)
    chosen = ("data", "rate", "scope", "rewind")
    require_unchanged(
        {**asdict(record.recipe), **{name: getattr(record, name) for name in chosen}},
        {**asdict(wanted.recipe), **{name: getattr(wanted, name) for name in chosen}},
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
            "give more --levels"
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
