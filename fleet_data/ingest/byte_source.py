"""Where rows come from: a file, a folder, an object or standard input; plain, or packed by gzip or
zstd."""

import gzip
import io
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.object_store import ObjectFile, find_object, is_object, open_object

STANDARD_INPUT = "-"
_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
COMPRESSED = {".gz": ("gzip", _GZIP), ".zst": ("zstd", _ZSTD)}
"""What the ending of a compressed file is, what that is called, and its first bytes."""
HEAD_BYTES = 64 * 2**10
_IN_MEMORY = 64 * 2**20
"""Bytes of a pipe that are kept in memory where all are needed; more go to a temporary file."""


@dataclass
class ByteSource:
    """One source that is open.

    `raw` are the bytes as they lie on the disk, `stream` what they unpack to, which starts with
    `head`; `size` is that of `raw`. Of a `folder`, or a prefix of an object store (its URL), both
    are empty, and `taken` bytes of its files were read.
    """

    name: str
    raw: IO[bytes]
    stream: "IO[bytes] | gzip.GzipFile"
    head: bytes
    size: int | None
    folder: Path | str | None = None
    taken: int = 0

    def position(self) -> int:
        """Bytes read so far, as they lie on the disk; 0 where that cannot be known."""
        try:
            return self.taken + self.raw.tell()
        except (OSError, ValueError):
            return 0

    @property
    def plain_name(self) -> str:
        """The name without the ending of what compressed it."""
        ending = next((end for end in COMPRESSED if self.name.endswith(end)), "")
        return self.name.removesuffix(ending)

    @contextmanager
    def whole(self) -> Iterator[IO[bytes]]:
        """All bytes, unpacked, as a file that can be read from its end. Raises InputError."""
        if self.stream is self.raw and self.raw.seekable():
            yield self.raw
            return
        with _spooled(self.name, self.stream) as file:
            yield file


def can_be_read_twice(source: Path | str) -> bool:
    """Not so standard input, a pipe or a device: what is read from them once is gone."""
    if str(source) == STANDARD_INPUT:
        return False
    if is_object(source):
        return True
    try:
        kind = os.stat(source).st_mode
    except OSError:
        return True  # whoever opens it says why not
    return not (stat.S_ISFIFO(kind) or stat.S_ISCHR(kind) or stat.S_ISSOCK(kind))


@contextmanager
def open_source(source: Path | str) -> Iterator[ByteSource]:
    """Open a file, a folder, a pipe, an object or a prefix by its URL, or standard input for `-`.

    Raises InputError, also while it is read.
    """
    name = "standard input" if str(source) == STANDARD_INPUT else str(source)
    found = find_object(str(source)) if is_object(source) else None
    folder = _folder(source, found)
    if folder is not None:
        nothing = io.BytesIO()
        size = _size_of(folder) if isinstance(folder, Path) else None
        yield ByteSource(name, nothing, nothing, b"", size, folder)
        return
    with _named_errors(name), _raw(source, found) as (raw, size):
        start = raw.read(HEAD_BYTES)
        _refuse(name, start)
        if raw.seekable():
            raw.seek(0)
        else:
            raw = io.BufferedReader(_Stream(start, raw))
        head, stream = _unpacked(name, start, raw)
        yield ByteSource(name, raw, stream, head, size)


def _unpacked(name: str, start: bytes, raw: IO[bytes]) -> "tuple[bytes, IO[bytes] | gzip.GzipFile]":
    """The first bytes of what `raw` unpacks to, and all of it."""
    if start.startswith(_GZIP):
        unpacked = gzip.GzipFile(fileobj=raw)
        head = unpacked.read(HEAD_BYTES)
        if raw.seekable():  # anew: a layer that puts the head back would copy every byte
            raw.seek(0)
            return head, gzip.GzipFile(fileobj=raw)
        return head, io.BufferedReader(_Stream(head, unpacked))
    if start.startswith(_ZSTD):
        zstd = io.BufferedReader(_ZstdStream(name, raw))
        head = zstd.read(HEAD_BYTES)
        return head, io.BufferedReader(_Stream(head, zstd))
    return start, raw


def _folder(source: Path | str, found: ObjectFile | None) -> Path | str | None:
    if is_object(source):
        return None if found is not None else str(source)
    is_folder = str(source) != STANDARD_INPUT and Path(source).is_dir()
    return Path(source) if is_folder else None


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextmanager
def _raw(source: Path | str, found: ObjectFile | None) -> Iterator[tuple[IO[bytes], int | None]]:
    """The bytes, and how many there are where that is known."""
    if found is not None:
        with open_object(found) as opened:
            yield opened, found.size
        return
    if str(source) == STANDARD_INPUT:
        if sys.stdin is None:
            raise InputError("standard input must be open, but it is closed: name a file")
        yield sys.stdin.buffer, None
        return
    with Path(source).open("rb") as file:
        known = can_be_read_twice(source) and file.seekable()
        yield file, os.fstat(file.fileno()).st_size if known else None


@contextmanager
def _spooled(name: str, stream: "IO[bytes] | gzip.GzipFile") -> Iterator[IO[bytes]]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as whole:
        try:
            shutil.copyfileobj(stream, whole)
        except gzip.BadGzipFile:
            raise
        except OSError as error:
            raise InputError(
                f"{name} must fit into {tempfile.gettempdir()} while it is read, but "
                f"{error.strerror}: free space, set TMPDIR, or give a file"
            ) from error
        whole.seek(0)
        yield whole


class _Stream(io.RawIOBase):
    """A pipe whose first bytes were looked at, as something that can tell how far it is."""

    def __init__(self, head: bytes, below: "IO[bytes] | gzip.GzipFile") -> None:
        self._head, self._below, self._position = head, below, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        head, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        data = head or self._below.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position


class _ZstdStream(io.RawIOBase):
    """What zstd bytes unpack to. Raises InputError where they are damaged."""

    def __init__(self, name: str, raw: IO[bytes]) -> None:
        # arrow closes what it reads from, and standard input is not ours to close
        self._name, self._below = name, pa.CompressedInputStream(_Stream(b"", raw), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            data = self._below.read(len(buffer))
        except OSError as error:
            if error.errno is not None:  # the disk's fault
                raise
            raise InputError(
                f"{self._name} must be a whole zstd file, it is damaged or cut off: export it again"
            ) from error
        buffer[: len(data)] = data
        return len(data)


def _refuse(name: str, start: bytes) -> None:
    if start.startswith(_ZIP):
        raise InputError(
            f"{name} must be telemetry, plain or packed by gzip or zstd, got a zip: unpack "
            "it first: unzip -p FILE | hdap ingest -"
        )
    if start.startswith(_UTF16):
        raise InputError(
            f"{name} must be UTF-8, got UTF-16: convert it: "
            "iconv -f UTF-16 -t UTF-8 FILE | hdap ingest -"
        )
    for ending, (called, sign) in COMPRESSED.items():
        if name.endswith(ending) and start and not start.startswith(sign):
            raise InputError(f"{name} is called {called} but is none: rename or export it again")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if str(error.filename) != name:
            raise
        raise InputError(f"there is no file {name}: check the path") from error
    except PermissionError as error:
        if str(error.filename) != name:
            raise
        raise InputError(f"{name} may not be read: check its rights") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{name} must be a whole gzip file, it is damaged or cut off: export it again"
        ) from error
