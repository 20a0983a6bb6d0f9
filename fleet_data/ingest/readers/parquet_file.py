"""One file of Parquet."""

from collections.abc import Iterator
from pathlib import PurePath

from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.parquet_reader import open_parquet, read_parquet
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.readers.parquet_folder import folder_columns
from hdap.fleet_data.ingest.reading import SourceReading


class ParquetFile(TableReader):
    """Parquet with plain columns; read by pyarrow in batches, from a pipe through a spool file.

    Folders called `device_id=cam-7` on the way to it say that column, as in a `ParquetFolder`.
    """

    called = "Parquet"
    endings = (".parquet",)

    def recognises(self, source: ByteSource) -> bool:
        return source.head.startswith(b"PAR1")

    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        with source.whole() as file:
            open_parquet(source.name, file, reading, _beside(source))

    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        with source.whole() as file:
            yield from read_parquet(source.name, file, reading, _beside(source))


def _beside(source: ByteSource) -> dict[str, str]:
    return folder_columns(PurePath(source.name).parent)
