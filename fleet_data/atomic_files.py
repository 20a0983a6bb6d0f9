"""Files and folders that appear whole or not at all, and the hash that tells."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdap.fleet_data.errors import InputError


def require_free_folder(
    folder: Path, force: bool, replaceable: frozenset[str], what: str = "checkpoint"
) -> None:
    """Raises `InputError` where `folder` holds anything.

    With `force` it may hold the files `replaceable` (those of a `what`), nothing else: a folder of
    other things is never thrown away.
    """
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


def require_folder_of(file: Path) -> None:
    """Raises InputError where the folder that a file is to be written into is not there."""
    if not file.parent.is_dir():
        raise InputError(f"the folder must exist, but there is no {file.parent}: create it")


def require_free_file(file: Path, force: bool) -> None:
    """Raises `InputError` where `file` is a folder, or is there and `force` is not."""
    if file.is_dir():
        raise InputError(f"`--out` must name a file, but {file} is a folder; name a file in it")
    if file.exists() and not force:
        raise InputError(
            f"`--out` must be new, but {file} is there; name another, or replace it with --force"
        )


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A sibling that takes the place of `folder` when the block ends, and is gone when it fails.

    Raises `InputError` for what the file system refuses: a full disk, missing rights.
    """
    folder = folder.absolute()
    temporary = folder.with_name(f".{folder.name}.writing-{os.getpid()}")
    replaced = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
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


def write_file(path: Path, content: bytes) -> None:
    """Write and wait until it is on the disk, so that a rename after it cannot come first."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """The hash of a file, as hexadecimal digits. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; its folder is made. Raises `InputError` when it cannot."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
        try:
            write_file(temporary, content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Turn what the file system says into one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{place} must be writable, but {error.strerror or error}; "
            "free space or name another place"
        ) from error
