"""The first rows of a file as an ingest would read them."""

from dataclasses import dataclass, replace
from pathlib import Path

from hdap.fleet_data.ingest.byte_source import can_be_read_twice, open_source
from hdap.fleet_data.ingest.column_names import Naming
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.readers.registry import reader_of
from hdap.fleet_data.ingest.readers.row_facts import NOTHING_SAID, RowFacts
from hdap.fleet_data.ingest.reading import SourceReading

ROWS = 3


@dataclass(frozen=True)
class Preview:
    """What columns seem to be, and the texts of each (those of `naming.columns`, by row)."""

    naming: Naming
    rows: tuple[tuple[str, ...], ...]

    def sample(self, column: str) -> tuple[str, ...]:
        """The first texts of one column."""
        at = self.naming.columns.index(column)
        return tuple(row[at] for row in self.rows)


def preview(
    source: Path | str, reading: SourceReading, facts: RowFacts = NOTHING_SAID
) -> Preview | None:
    """As if somebody agreed to what common names seem to be.

    None where there are no rows, of a pipe, which would be used up, and of a measurement log, which
    has no columns of its own. Raises InputError as an ingest does.
    """
    if not can_be_read_twice(source):
        return None
    with open_source(source) as opened:
        reader = reader_of(opened)
        if not isinstance(reader, TableReader):
            return None
        for block in reader.blocks(opened, facts, replace(reading, agreed=True)):
            if block.naming is not None:
                return Preview(block.naming, tuple(block.frame.head(ROWS).iter_rows()))
    return None
