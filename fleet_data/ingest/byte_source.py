"""Where rows come from: a file or standard input, plain or compressed, by what it holds."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hdap.fleet_data.errors import InputError

STANDARD_INPUT = "-"
_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
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


@contextmanager
def open_source(source: Path | str) -> Iterator[ByteSource]:
    """Open a file, or standard input for `-`. Raises InputError, also while it is read."""
    name = "standard input" if str(source) == STANDARD_INPUT else str(source)
    with _named_errors(name):
        if str(source) == STANDARD_INPUT:
            raw = io.BufferedReader(_Counted(sys.stdin.buffer))
            yield ByteSource(name, _format(name, raw.peek(4)[:4]), raw, None)
            return
        path = Path(source)
        if path.is_dir():
            raise InputError(f"telemetry must be a file, {name} is a directory: name its files")
        with path.open("rb") as file:
            found = _format(name, file.peek(4)[:4])
            size = path.stat().st_size if path.is_file() else None
            yield ByteSource(name, found, file, size)


class _Counted(io.RawIOBase):
    """Standard input as something that can tell how far it is."""

    def __init__(self, below: IO[bytes]) -> None:
        self._below, self._position = below, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._below.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position


def _format(name: str, start: bytes) -> Format:
    if start.startswith(_GZIP):
        return "csv.gz"
    if start.startswith(_PARQUET):
        if name == "standard input":
            raise InputError("standard input must be CSV, got Parquet: give the file's name")
        return "parquet"
    if start.startswith(_ZIP):
        raise InputError(f"{name} must be CSV, gzipped CSV or Parquet, got a zip: unpack it first")
    if start.startswith(_UTF16):
        raise InputError(f"{name} must be UTF-8, got UTF-16: convert it, e.g. with iconv")
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
