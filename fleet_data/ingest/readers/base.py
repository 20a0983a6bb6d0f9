"""The contract of a reader of telemetry."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.row_facts import RowFacts
from hdap.fleet_data.ingest.reading import SourceReading


class TelemetryReader(ABC):
    """One format. Stateless: all of a source is in its `ByteSource`, unpacked already.

    `called` names the format in messages. A file whose name ends with one of `endings` must be of
    a format with that ending.

    A source is recognised by its first bytes alone, so that pipes are read too. Blocks come in the
    order of the rows and in bounded memory where the format allows it; every block has all columns
    of the blocks before it. A cell that is no number or no time is the checks' business; a row that
    is no row at all is a reject of its block; what is wrong with the file as a whole is an
    InputError of one line that names the file. Anything may be in a file: no other error comes out.
    """

    called: str
    endings: tuple[str, ...] = ()

    @abstractmethod
    def recognises(self, source: ByteSource) -> bool:
        """Whether the source is of this format, by `source.head`; reads nothing."""

    def reading_with(self, facts: RowFacts, reading: SourceReading) -> SourceReading:
        """How the checks read its rows: a log has put what `facts` say into its rows itself."""
        return reading

    @abstractmethod
    def check(self, source: ByteSource, facts: RowFacts, reading: SourceReading) -> None:
        """Whether the source can be opened and has the columns. Raises InputError."""

    @abstractmethod
    def blocks(
        self, source: ByteSource, facts: RowFacts, reading: SourceReading
    ) -> Iterator[Block]:
        """All rows, all cells text. Raises InputError, also while rows are taken."""


class TableReader(TelemetryReader):
    """A format that has columns of its own; what is said beside it must be missing in it.

    Columns are named by `name_columns`, which raises ColumnsProposed where somebody has to agree;
    every block has its `naming`.
    """

    def reading_with(self, facts: RowFacts, reading: SourceReading) -> SourceReading:
        return replace(reading, beside=facts.texts())

    def check(self, source: ByteSource, facts: RowFacts, reading: SourceReading) -> None:
        self.check_table(source, self.reading_with(facts, reading))

    def blocks(
        self, source: ByteSource, facts: RowFacts, reading: SourceReading
    ) -> Iterator[Block]:
        return self.table(source, self.reading_with(facts, reading))

    @abstractmethod
    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        """`check`, with facts in `reading.beside`."""

    @abstractmethod
    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        """`blocks`, with facts in `reading.beside`, which the checks add."""
