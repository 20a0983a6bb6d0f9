"""Files and folders that appear whole or not at all, and the hash that tells."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hdap.fleet_data.errors import InputError

_FREE_SPACE = "free space or name another place"
_ADVICE = {
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EACCES: "change the rights of it and its folder, or name another place",
    errno.EROFS: "name a place that is not read-only",
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: _FREE_SPACE,
}
_LONG = 40
"""Letters of a name of which no more is repeated in a neighbour's: a file system takes 255 bytes,
and a letter has up to four of them, so that it takes the neighbour's name too."""


def require_free_folder(
    folder: Path, force: bool, replaceable: frozenset[str], what: str = "checkpoint"
) -> None:
    """Raises `InputError` where `folder` holds anything.

    With `force` it may hold the files `replaceable` (those of a `what`), nothing else: a folder of
    other things is never thrown away.
    """
    with writable(folder):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return
        if not folder.is_dir():
            raise InputError(f"`--out` must name a folder, but {folder} is a file; name another")
        strange = sorted({path.name for path in folder.iterdir()} - replaceable)
    if strange:
        raise InputError(
            f"`--out` must be new, empty or a {what}, but {folder} holds {strange[0]}; "
            "name another folder"
        )
    if not force:
        raise InputError(
            f"`--out` must be new or empty, but {folder} holds a {what}; "
            "name another folder, or replace it with --force"
        )


def require_place_of(file: Path) -> None:
    """Raises InputError where `file` is a folder, or is to be written into one that is not there.

    What may stand there already is replaced.
    """
    folder = file.parent
    with writable(file):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"a file must lie in a folder, but {folder} is none: name another")
        if not folder.is_dir():
            raise InputError(f"the folder must exist, but there is no {folder}: create it")
        _require_no_folder(file)


def require_free_file(file: Path, force: bool) -> None:
    """Raises `InputError` where `file` is a folder, or is there and `force` is not."""
    with writable(file):
        _require_no_folder(file)
        if file.exists() and not force:
            raise InputError(
                f"`--out` must be new, but {file} is there; name another, or replace it with "
                "--force"
            )


def _require_no_folder(file: Path) -> None:
    if file.is_dir():
        raise InputError(f"`--out` must name a file, but {file} is a folder; name a file in it")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A sibling that takes the place of `folder` when the block ends, and is gone when it fails.

    Raises `InputError` for what the file system refuses: a full disk, missing rights.
    """
    folder = folder.absolute()
    own = _own_mark()
    temporary, replaced = (beside(folder, f"{what}-{own}") for what in ("writing", "replaced"))
    try:
        with writable(folder):
            temporary.mkdir(parents=True)
            yield temporary
            if folder.exists():
                folder.rename(replaced)
            try:
                temporary.rename(folder)
            except OSError:
                if replaced.exists():
                    replaced.rename(folder)
                raise
    finally:
        for leftover in (temporary, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def finish_replacing(folder: Path) -> None:
    """What is left to do where `whole_folder` was killed between its two renames, or after them:
    the new one, which is whole, takes its place, and the one of before goes."""
    folder = folder.absolute()
    if not folder.parent.is_dir():
        return
    sign = beside(folder, "replaced-").name
    for replaced in [path for path in folder.parent.iterdir() if path.name.startswith(sign)]:
        new = beside(folder, f"writing-{replaced.name[len(sign) :]}")
        with suppress(FileNotFoundError):  # another process did it just now
            if not folder.exists() and new.exists():
                new.rename(folder)
        if not new.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write and wait until it is on the disk, so that a rename after it cannot come first."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def beside(place: Path, what: str) -> Path:
    """A hidden neighbour of a file or folder, whose name tells whose it is and `what` it is."""
    name = place.name
    if len(name) > _LONG:
        name = f"{name[:_LONG]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    return place.with_name(f".{name}.{what}")


def _own_mark() -> str:
    """Of what one call alone writes; in a container every process has the same number."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def sha256_of(path: Path) -> str:
    """The hash of a file, as hexadecimal digits. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; its folder is made. Raises `InputError` when it cannot."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(path, f"writing-{_own_mark()}")
        try:
            write_file(temporary, content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def of_the_disk(error: Exception) -> bool:
    """Whether the file system refuses: no room, no right, not the fault of what was written."""
    return isinstance(error, OSError) and error.errno in _ADVICE


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Turn what the file system says into one line."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "name another place")
        raise InputError(
            f"{place} must be writable, but {error.strerror or error}; {advice}"
        ) from error
