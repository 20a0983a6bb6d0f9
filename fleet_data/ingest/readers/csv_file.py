"""CSV; what no other reader recognises is read, and refused, as CSV."""

from collections.abc import Iterator

from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.csv_head import read_head
from hdap.fleet_data.ingest.csv_reader import read_csv
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.reading import SourceReading
from hdap.fleet_data.telemetry import REQUIRED


class CsvFile(TableReader):
    """A header line with at least the required columns, then a row a line (RFC 4180, UTF-8)."""

    called = "CSV"

    def recognises(self, source: ByteSource) -> bool:
        header = source.head.partition(b"\n")[0]
        return not header.lstrip().startswith((b"{", b"[")) and all(
            column.encode() in header for column in REQUIRED
        )

    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        read_head(source.name, source.stream, reading)

    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        return read_csv(source.name, source.stream, reading)
