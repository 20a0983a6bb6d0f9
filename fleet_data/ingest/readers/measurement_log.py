"""What all measurement logs have in common: they are read whole, and say nothing of the device."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.base import TelemetryReader
from hdap.fleet_data.ingest.readers.log_row import LogRow, block_of
from hdap.fleet_data.ingest.readers.row_facts import RowFacts, facts_of_name
from hdap.fleet_data.ingest.reading import SourceReading

LONGEST_LOG = 256 * 2**20
_WRONG = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes of a document that has not got the shape of its tool's."""


class MeasurementLog(TelemetryReader):
    """A tool's own output: latencies of networks on the device that it ran on.

    What it does not say comes from `facts`, then from the file's name
    (`device_id=cam-7,model=resnet50.log`); both stand above what the log says itself.
    """

    @abstractmethod
    def rows(self, text: str) -> Sequence[LogRow]:
        """The rows of the log.

        Raises ValueError, or what taking a document apart raises, where it is another or damaged.
        """

    def check(self, source: ByteSource, facts: RowFacts, reading: SourceReading) -> None:
        next(self.blocks(source, facts, reading))

    def blocks(
        self, source: ByteSource, facts: RowFacts, reading: SourceReading
    ) -> Iterator[Block]:
        name = source.name
        if reading.columns:
            raise InputError(
                f"--map must name columns, but {name} is {self.called}, which has none: leave it "
                "out, of hdap.toml too"
            )
        data = source.stream.read(LONGEST_LOG + 1)
        if len(data) > LONGEST_LOG:
            raise InputError(f"{name} must be at most {LONGEST_LOG >> 20} MB as {self.called}")
        try:
            rows = self.rows(data.decode())
        except _WRONG as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            raise InputError(f"{name} must be {self.called}, whole and in UTF-8: {why}") from error
        if not rows:
            raise InputError(f"{name} is {self.called} without a latency: did the run end early?")
        yield block_of(name, self.called, rows, facts.over(facts_of_name(source.plain_name)))


def document(text: str) -> Any:
    """A JSON document. Raises ValueError."""
    return json.loads(text)


def number(text: object) -> float:
    """A number of a JSON document. Raises TypeError for anything else."""
    if isinstance(text, bool) or not isinstance(text, int | float):
        raise TypeError(f"{str(text)[:40]!r} must be a number")
    return float(text)
