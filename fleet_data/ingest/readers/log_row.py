"""What a measurement log says of one network, and the table that rows of it make."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.readers.row_facts import COLUMNS_OF_FACTS, RowFacts


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """A row of the telemetry contract; None and empty where the log does not say it.

    `latency_ms` is the log's own number, `line` where it stands. `extra` are
    further columns, or columns of the contract that the log has under their own names.
    """

    line: int
    latency_ms: float
    device_id: str = ""
    model: str = ""
    channels: str = ""
    timestamp: str = ""
    latency_p95_ms: float | None = None
    runs: int | None = None
    batch_size: int | None = None
    runtime: str = ""
    precision: str = ""
    threads: int | None = None
    extra: tuple[tuple[str, str], ...] = ()

    def cells(self, facts: RowFacts) -> dict[str, str]:
        """The row as text, with what `facts` say in the place of the log's own."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        said = {name: getattr(facts, name) or own[name] for name in COLUMNS_OF_FACTS}
        rest = dict(own) | said
        del rest["line"], rest["extra"]
        texts = {name: "" if value is None else str(value) for name, value in rest.items()}
        beside = dict(self.extra)
        return beside | {name: text for name, text in texts.items() if text or name not in beside}


def measured(line: int, milliseconds: Sequence[float], **columns: object) -> LogRow:
    """The row of single inferences: their median, and the 95th percentile.

    Raises ValueError where there are none, or not all are finite.
    """
    times = np.asarray(milliseconds, dtype=np.float64)
    if not len(times) or not np.isfinite(times).all():
        raise ValueError("every inference must have a finite time")
    # to the nanosecond: no clock says more, and 8.843399999999999 is no number that came
    middle, tail = np.quantile(times, [0.5, 0.95]).round(6)
    return LogRow(
        line=line,
        latency_ms=float(middle),
        latency_p95_ms=float(tail),
        runs=len(times),
        **columns,  # type: ignore[arg-type]
    )


def block_of(name: str, called: str, rows: Sequence[LogRow], facts: RowFacts) -> Block:
    """The block of a log's rows. Raises InputError, naming the flags, where nobody says what they
    are of."""
    texts = [row.cells(facts) for row in rows]
    missing = [
        column for column in ("device_id", "model") if any(not text[column] for text in texts)
    ]
    if missing:
        flags = " and ".join(f"--{column.replace('_', '-')}" for column in missing)
        pairs = ",".join(f"{column}=NAME" for column in missing)
        raise InputError(
            f"{name} is {called}, which does not say {' and '.join(missing)}: give {flags}, or "
            f"call the file {pairs}.log"
        )
    if facts.model and len({row.model for row in rows}) > 1:
        raise InputError(
            f"{name} is {called} of {len({row.model for row in rows})} networks, so --model cannot "
            f"be said of all: leave it out, or keep one network in the file"
        )
    columns = {name: None for text in texts for name in text}
    frame = pl.DataFrame(
        [[text.get(column, "") for column in columns] for text in texts],
        schema=dict.fromkeys(columns, pl.String),
        orient="row",
    )
    lines = np.array([row.line for row in rows], dtype=np.int64)
    return Block(frame, lambda: lines)
