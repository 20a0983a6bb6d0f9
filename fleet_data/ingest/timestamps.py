"""ISO 8601 texts into microseconds since 1970."""

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_LEAST, _MOST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999


def parse_timestamps(texts: pl.Series) -> pl.Series:
    """Microseconds since 1970 (Int64); null where a text is no ISO 8601 date and time.

    A text without a zone is UTC. Accepts what `datetime.fromisoformat` of Python 3.11 accepts.
    """
    whole = _all_at_once(texts)
    if whole is not None:
        return whole
    # the zone decides which of Arrow's parsers takes it; what neither takes is rare
    zoned = texts.str.contains(_SHAPE + r"(Z|[+-][0-9]{2}:[0-9]{2})$")
    local = texts.str.contains(_SHAPE + "$")
    rows = pl.Series(range(len(texts)), dtype=pl.UInt32)
    parts = []
    for mask in (zoned, local, ~(zoned | local)):
        some = texts.filter(mask)
        parsed = _all_at_once(some)
        found = _one_by_one(some) if parsed is None else parsed
        parts.append(pl.DataFrame({"row": rows.filter(mask), "at": found}))
    return pl.concat(parts).sort("row")["at"]


def _all_at_once(texts: pl.Series) -> pl.Series | None:
    column = texts.to_arrow()
    for zone in ("UTC", None):
        try:
            parsed = pyarrow.compute.cast(column, pa.timestamp("us", zone))
        except pa.ArrowInvalid:
            continue
        at = pl.Series("at", pyarrow.compute.cast(parsed, pa.int64()), dtype=pl.Int64)
        if at.is_between(_LEAST, _MOST).all():
            return at
    return None


def _one_by_one(texts: pl.Series) -> pl.Series:
    distinct = texts.unique(maintain_order=True)
    found = pl.Series([_microseconds(text) for text in distinct], dtype=pl.Int64)
    frame = pl.DataFrame({"text": distinct, "at": found})
    joined = pl.DataFrame({"text": texts}).join(frame, on="text", how="left", maintain_order="left")
    return joined["at"]


def _microseconds(text: str) -> int | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        aware = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except OverflowError:
        return None
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
