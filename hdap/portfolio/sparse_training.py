"""What a sparse training is asked for, and what its folder may hold."""

import re
import shutil
from dataclasses import asdict
from pathlib import Path

from hdap.fleet_data.atomic_files import require_free_folder
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import FILES
from hdap.portfolio.training_record import RECORD, TrainingRecord, read_record
from hdap.requests.training_request import SparseTraining
from hdap.training.training_session import require_unchanged

REWIND = "rewind"
"""The checkpoint of the rewind point, beside the levels."""

_LEVEL = re.compile(r"level-\d{2,}")


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
