"""A folder of Parquet files, partitioned or not, as Spark, Hive, DuckDB and polars write it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.dataset

from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.column_names import Naming
from hdap.fleet_data.ingest.parquet_reader import open_parquet, read_parquet
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.reading import SourceReading
from hdap.fleet_data.ingest.source_files import files_in


@dataclass(frozen=True)
class _Part:
    """A file and the columns that the folders on the way to it say."""

    name: str
    beside: Mapping[str, str]
    size: int
    open: Callable[[], IO[bytes]]


class ParquetFolder(TableReader):
    """All Parquet files below a folder, or a prefix of an object store, in the order of their
    paths, as one source.

    A folder called `device_id=cam-7` says that column of all rows below it, as text: a device `007`
    stays one. Columns need not be the same in all files; what their names mean, the first file
    tells. Names that start with `.` or `_` are left out. The lines of rejected rows are row numbers
    through all files.
    """

    called = "a folder of Parquet"

    def recognises(self, source: ByteSource) -> bool:
        return source.folder is not None

    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        _naming_of(_parts(source)[0], reading)

    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        parts = _parts(source)
        first, row, columns = _naming_of(parts[0], reading), 1, dict[str, None]()
        for part in parts:
            with part.open() as file:
                for block in read_parquet(part.name, file, reading, part.beside, first, row):
                    row += block.frame.height
                    columns |= dict.fromkeys(block.frame.columns)
                    yield block.with_columns(tuple(columns))
            source.taken += part.size


def _naming_of(part: _Part, reading: SourceReading) -> Naming:
    with part.open() as file:
        return open_parquet(part.name, file, reading, part.beside)[1]


def _parts(source: ByteSource) -> tuple[_Part, ...]:
    folder = source.folder
    assert folder is not None
    if isinstance(folder, str):
        return _parts_of_prefix(folder)
    try:
        files = sorted(pyarrow.dataset.dataset(folder, format="parquet").files)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{source.name} is a directory, and must hold whole Parquet files alone: {told(error)}"
        ) from error
    if not files:
        raise InputError(
            f"{source.name} is a directory without Parquet files: name the files to read"
        )
    return tuple(_part_of(Path(file), folder) for file in files)


def _part_of(file: Path, folder: Path) -> _Part:
    said = folder_columns(file.parent.relative_to(folder))
    return _Part(str(file), said, file.stat().st_size, lambda: file.open("rb"))


def _parts_of_prefix(prefix: str) -> tuple[_Part, ...]:
    files = files_in(prefix)
    if not files:
        raise InputError(f"there is no object below {prefix}: check the URL")
    return tuple(
        _Part(f.name, folder_columns(PurePosixPath(f.name[len(prefix) :]).parent), f.size, f.open)
        for f in files
    )


def folder_columns(folders: PurePath) -> dict[str, str]:
    """The columns that folders called `column=value` say; Hive's null is empty."""
    names = [part.partition("=")[0] for part in folders.parts if "=" in part]
    hive = pyarrow.dataset.HivePartitioning(pa.schema([(name, pa.string()) for name in names]))
    found = pyarrow.dataset.get_partition_keys(hive.parse(f"{folders}/"))
    return {name: value or "" for name, value in found.items()}
