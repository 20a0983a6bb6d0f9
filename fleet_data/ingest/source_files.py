"""The files of a folder or of a prefix of an object store, and which of them make one source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.byte_source import STANDARD_INPUT
from hdap.fleet_data.ingest.object_store import (
    ObjectFile,
    find_object,
    is_object,
    list_objects,
    open_object,
)

PARQUET = b"PAR1"
_REJECTS = ".rejected.csv"


@dataclass(frozen=True)
class SourceFile:
    """One file: by what name it is read, its size, what changes when it is written anew, and when
    it last was (seconds since 1970; 0: it can only be whole, as an object is)."""

    name: str
    size: int
    version: str
    written_at: float
    open: Callable[[], IO[bytes]]


def source_of(text: str) -> Path | str:
    """A source as it was typed: a path, a URL of an object store, or `-`."""
    return text if text == STANDARD_INPUT or is_object(text) else Path(text)


def files_in(place: Path | str) -> tuple[SourceFile, ...]:
    """All files below a folder or prefix that could be telemetry, by name.

    Names that begin with `.` or `_`, there or in a folder on the way, are somebody's own, and lists
    of rejected rows are ours. Raises InputError.
    """
    if is_object(place):
        url = str(place)
        found = (_of_object(one) for one in list_objects(url))
        return tuple(f for f in found if _is_telemetry(f.name[len(url) :]) and f.size)
    folder = Path(place)
    paths = (p for p in sorted(folder.rglob("*")) if _is_telemetry(str(p.relative_to(folder))))
    return tuple(_whole(paths))


def sources_at(place: Path | str) -> tuple[Path | str, ...]:
    """What is ingested, one after the other, where a person names this place.

    A file, an object, `-` and a folder or prefix of Parquet are one source each, any other folder
    or prefix has one a file. Raises InputError where there is nothing.
    """
    if is_object(place):
        if find_object(str(place)) is not None:
            return (place,)
    elif str(place) == STANDARD_INPUT or not Path(place).is_dir():
        return (place,)
    files = files_in(place)
    if not files:
        raise InputError(f"there is no file to read in {place}: check the name")
    if any(f.name.endswith(".parquet") for f in files) or is_parquet(files[0]):
        return (place,)
    return tuple(source_of(file.name) for file in files)


def is_parquet(file: SourceFile) -> bool:
    """Whether a file is Parquet, by its first bytes."""
    with file.open() as opened:
        return opened.read(len(PARQUET)) == PARQUET


def _of_object(found: ObjectFile) -> SourceFile:
    return SourceFile(found.url, found.size, found.version, 0.0, lambda: open_object(found))


def _whole(paths: Iterator[Path]) -> Iterator[SourceFile]:
    for path in paths:
        try:
            facts = path.stat()
            if not path.is_file():
                continue
        except OSError:  # it went while we looked
            continue
        # ctime: nobody can set it back, as a copy that keeps times does with mtime
        version = f"{facts.st_size}-{facts.st_mtime_ns}"
        written = max(facts.st_mtime, facts.st_ctime)
        yield SourceFile(str(path), facts.st_size, version, written, _opener(path))


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _is_telemetry(below: str) -> bool:
    parts = [part for part in below.split("/") if part]
    return not any(part.startswith((".", "_")) for part in parts) and not below.endswith(_REJECTS)
