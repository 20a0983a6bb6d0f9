"""One file of Parquet."""

from collections.abc import Iterator

from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.parquet_reader import open_parquet, read_parquet
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.reading import SourceReading


class ParquetFile(TableReader):
    """Parquet with plain columns; read by pyarrow in batches, from a pipe through a spool file."""

    called = "Parquet"
    endings = (".parquet",)

    def recognises(self, source: ByteSource) -> bool:
        return source.head.startswith(b"PAR1")

    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        with source.whole() as file:
            open_parquet(source.name, file, reading)

    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        with source.whole() as file:
            yield from read_parquet(source.name, file, reading)
