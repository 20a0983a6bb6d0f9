"""Where rows come from: a file or standard input, plain or compressed, by what it holds."""

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
from typing import IO, Literal

from hdap.fleet_data.errors import InputError

STANDARD_INPUT = "-"
_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SIGN_BYTES = 4
_IN_MEMORY = 64 * 2**20
"""Bytes of Parquet from a pipe that are kept in memory; more go to a nameless temporary file."""
Format = Literal["csv", "csv.gz", "parquet"]


@dataclass
class ByteSource:
    """One source that is open. `raw` counts the bytes for the progress bar."""

    name: str
    format: Format
    raw: IO[bytes]
    size: int | None

    def position(self) -> int:
        """Bytes read so far, as they lie on the disk; 0 where that cannot be known."""
        try:
            return self.raw.tell()
        except (OSError, ValueError):
            return 0

    def stream(self) -> "IO[bytes] | gzip.GzipFile":
        """The bytes of the CSV, decompressed."""
        if self.format == "csv.gz":
            return gzip.GzipFile(fileobj=self.raw)
        return self.raw


def can_be_read_twice(source: Path | str) -> bool:
    """Not so standard input, a pipe or a device: what is read from them once is gone."""
    if str(source) == STANDARD_INPUT:
        return False
    try:
        kind = os.stat(source).st_mode
    except OSError:
        return True  # whoever opens it says why not
    return not (stat.S_ISFIFO(kind) or stat.S_ISCHR(kind) or stat.S_ISSOCK(kind))


@contextmanager
def open_source(source: Path | str) -> Iterator[ByteSource]:
    """Open a file, a pipe, or standard input for `-`. Raises InputError, also while it is read."""
    name = "standard input" if str(source) == STANDARD_INPUT else str(source)
    with _named_errors(name), _raw(source, name) as raw:
        if raw.seekable():
            found = _format(name, raw.read(_SIGN_BYTES))
            raw.seek(0)
            size = Path(source).stat().st_size if can_be_read_twice(source) else None
            yield ByteSource(name, found, raw, size)
            return
        sign = raw.read(_SIGN_BYTES)
        found = _format(name, sign)
        stream = io.BufferedReader(_Stream(sign, raw))
        if found == "parquet":  # its end is read first
            with _spooled(name, stream) as whole:
                yield ByteSource(name, found, whole, None)
            return
        yield ByteSource(name, found, stream, None)


@contextmanager
def _raw(source: Path | str, name: str) -> Iterator[IO[bytes]]:
    if str(source) == STANDARD_INPUT:
        if sys.stdin is None:
            raise InputError("standard input must be open, but it is closed: name a file")
        yield sys.stdin.buffer
        return
    if Path(source).is_dir():
        raise InputError(f"telemetry must be a file, {name} is a directory: name its files")
    with Path(source).open("rb") as file:
        yield file


@contextmanager
def _spooled(name: str, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as whole:
        try:
            shutil.copyfileobj(stream, whole)
        except OSError as error:
            raise InputError(
                f"{name} must fit into {tempfile.gettempdir()} while it is read, but "
                f"{error.strerror}: free space, set TMPDIR, or give a file"
            ) from error
        whole.seek(0)
        yield whole


class _Stream(io.RawIOBase):
    """A pipe whose first bytes were looked at, as something that can tell how far it is."""

    def __init__(self, head: bytes, below: IO[bytes]) -> None:
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


def _format(name: str, start: bytes) -> Format:
    if start.startswith(_GZIP):
        return "csv.gz"
    if start.startswith(_PARQUET):
        return "parquet"
    if start.startswith(_ZIP):
        raise InputError(
            f"{name} must be CSV, gzipped CSV or Parquet, got a zip: unpack it first: "
            "unzip -p FILE | hdap ingest -"
        )
    if start.startswith(_ZSTANDARD):
        raise InputError(
            f"{name} must be CSV, gzipped CSV or Parquet, got Zstandard: unpack it "
            "first: zstd -dc FILE | hdap ingest -"
        )
    if start.startswith(_UTF16):
        raise InputError(
            f"{name} must be UTF-8, got UTF-16: convert it: "
            "iconv -f UTF-16 -t UTF-8 FILE | hdap ingest -"
        )
    if name.endswith(".parquet"):
        raise InputError(f"{name} is called Parquet but is none: export it again")
    if name.endswith(".gz") and start:
        raise InputError(f"{name} is called gzip but is none: rename or export it again")
    return "csv"


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
