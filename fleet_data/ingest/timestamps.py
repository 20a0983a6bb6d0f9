"""ISO 8601 texts, and numbers since 1970, into microseconds since 1970."""

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute

_Parser = Callable[[pl.Series], pl.Series]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_ZONE = r"(Z|[+-][0-9]{2}:[0-9]{2})$"
_LEAST, _MOST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999


_UTC = r"(?i)^([0-9].*[0-9]) ?(utc|gmt|z)$"
_MIDNIGHT = r"^([0-9-]+)[T ]24:?00(:?00([.,]0+)?)?([^0-9.,:].*)?$"
_DOTTED = r"^([0-3][0-9])\.([01][0-9])\.([0-9]{4})"
"""01.02.2026: who writes dots writes the day first."""
_DAY = 86_400_000_000
_EPOCH_NUMBER = r"^[0-9]{9,19}(\.[0-9]*)?$"
_FIRST_SECOND, _LAST_SECOND = 946_684_800, 4_102_444_800
"""The years 2000 to 2099: in no two units a number lies among them."""


def parse_timestamps(texts: pl.Series) -> pl.Series:
    """Microseconds since 1970 (Int64); null where a text is no date and time.

    A text without a zone is UTC. Accepts what `datetime.fromisoformat` of Python 3.11 accepts,
    24:00 as the end of a day, ` UTC` and `z`, dates such as 31.12.2026, and seconds, milliseconds,
    microseconds and nanoseconds since 1970 of the years 2000 to 2099.
    """
    whole = _all_at_once(texts)
    if whole is not None:
        return whole
    numbers = texts.str.contains(_EPOCH_NUMBER)  # before ISO 8601: 13 digits are a date of 1712 too
    midnights = texts.str.contains(_MIDNIGHT)
    plain = texts.str.replace(_UTC, "${1}Z").str.replace(_DOTTED, "${3}-${2}-${1}")
    return _by_kind(
        plain,
        (numbers, _since_1970),
        (midnights, _ends_of_days),
        (~(numbers | midnights), _iso),
    )


def _since_1970(texts: pl.Series) -> pl.Series:
    whole = texts.str.extract(r"^([0-9]+)").cast(pl.Int64, strict=False)
    part = texts.str.extract(r"(\.[0-9]*)$").fill_null("0").replace(".", "0")
    at = pl.Series([None] * len(texts), dtype=pl.Int64)
    for per_second in (1, 1_000, 1_000_000, 1_000_000_000):
        mine = (whole >= _FIRST_SECOND * per_second) & (whole < _LAST_SECOND * per_second)
        if per_second <= 1_000_000:
            times = 1_000_000 // per_second
            more = (part.cast(pl.Float64) * times).round().cast(pl.Int64)
            at = at.zip_with(~mine.fill_null(False), whole * times + more)
        else:
            at = at.zip_with(~mine.fill_null(False), whole // 1_000)
    return at


def _ends_of_days(texts: pl.Series) -> pl.Series:
    starts = texts.str.replace(r"([T ])24", "${1}00")
    at = _iso(starts) + _DAY
    return at.set(at > _MOST, None)


def _iso(texts: pl.Series) -> pl.Series:
    whole = _all_at_once(texts)
    if whole is not None:
        return whole
    # the zone decides which of Arrow's parsers takes it; what neither takes is rare
    zoned = texts.str.contains(_SHAPE + _ZONE)
    local = texts.str.contains(_SHAPE + "$")
    return _by_kind(texts, (zoned, _quick), (local, _quick), (~(zoned | local), _one_by_one))


def _by_kind(texts: pl.Series, *kinds: tuple[pl.Series, _Parser]) -> pl.Series:
    """Texts of each kind (a mask) by its own parser; each text is of one."""
    rows = pl.Series(range(len(texts)), dtype=pl.UInt32)
    parts = [
        pl.DataFrame({"row": rows.filter(mask), "at": parser(texts.filter(mask))})
        for mask, parser in kinds
        if mask.any()
    ]
    nothing = pl.DataFrame(schema={"row": pl.UInt32, "at": pl.Int64})
    return pl.concat([nothing, *parts]).sort("row")["at"]


def _quick(texts: pl.Series) -> pl.Series:
    parsed = _all_at_once(texts)
    return _one_by_one(texts) if parsed is None else parsed


def _all_at_once(texts: pl.Series) -> pl.Series | None:
    column = texts.to_arrow()
    # Arrow tries every text before it says that it fails: the way that the first one asks for first
    zoned = texts.head(1).str.contains(_ZONE).any()
    for zone in ("UTC", None) if zoned else (None, "UTC"):
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
