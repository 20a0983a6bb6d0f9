"""Timestamps, records with line numbers and row identity, each alone."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.ingest.csv_records import take_records
from hdap.fleet_data.ingest.row_hash import row_hashes, text_hash
from hdap.fleet_data.ingest.timestamps import parse_timestamps

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.one_of(st.none(), st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))))
MOMENTS = st.builds(
    lambda at, zone: at.replace(tzinfo=zone),
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    ZONES,
)
WRITTEN = st.one_of(
    st.builds(
        lambda at, separator, unit: at.isoformat(separator, unit),
        MOMENTS,
        st.sampled_from("T "),
        st.sampled_from(["auto", "minutes", "seconds", "milliseconds", "microseconds"]),
    ),
    MOMENTS.map(lambda at: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)),
    MOMENTS.map(lambda at: at.strftime("%Y%m%dT%H%M%S").zfill(15)),
    MOMENTS.map(lambda at: at.date().isoformat()),
    st.text("0123456789-+:.TZ W", max_size=26),
    st.sampled_from(
        [
            "",
            "2026-02-30",
            "2026-01-01T24:00:00",
            "2026-01-01T23:59:60Z",
            "0000-01-01",
            "2026-W05-3",
            "2026-01-01T00:00:00.123456789Z",
            "2026-01-01T00:00:00+0200",
            "2026-01-01T00:00:00+02",
            "2026-01-01T10",
            "2026-01",
            "2026-01-01t00:00:00z",
            "20260101",
        ]
    ),
)

WRITTEN_OTHERWISE = re.compile(r"(?i)(?-i:z)$| z$|[^0-9]24|^[0-9]{9,19}(\.[0-9]*)?$")
"""What is read too, and is tested below: a zone after a space, the end of a day, numbers."""
RECENT = st.datetimes(datetime(2000, 1, 2), datetime(2099, 1, 1), timezones=st.just(UTC))


def reference(text: str) -> int | None:
    try:
        read = datetime.fromisoformat(text)
        aware = read if read.tzinfo else read.replace(tzinfo=UTC)
        return (aware.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(WRITTEN, max_size=6))
def test_times_are_read_as_python_reads_them(texts: list[str]) -> None:
    texts = [text for text in texts if not WRITTEN_OTHERWISE.search(text)]
    found = parse_timestamps(pl.Series(texts, dtype=pl.String))
    assert found.to_list() == [reference(text) for text in texts]


def other_ways(at: datetime) -> dict[str, int]:
    """A moment as exports write it beside ISO 8601, and microseconds since 1970."""
    seconds = (at - EPOCH) // timedelta(seconds=1)
    day = at.strftime("%Y-%m-%d")
    start = (datetime.fromisoformat(day).replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
    return {
        f"{seconds}": seconds * 10**6,
        f"{seconds}.25": seconds * 10**6 + 250_000,
        f"{seconds * 10**3 + 7}": seconds * 10**6 + 7000,
        f"{seconds * 10**3 + 7}.5": seconds * 10**6 + 7500,
        f"{seconds * 10**6 + 8}": seconds * 10**6 + 8,
        f"{seconds * 10**9 + 9001}": seconds * 10**6 + 9,
        at.strftime("%Y-%m-%d %H:%M:%S UTC"): seconds * 10**6,
        at.strftime("%Y-%m-%dT%H:%M:%Sz"): seconds * 10**6,
        f"{day}T24:00:00Z": (start + 86_400) * 10**6,
        f"{day} 24:00": (start + 86_400) * 10**6,
        f"{day}T24:00:00+01:00": (start + 86_400 - 3600) * 10**6,
    }


@settings(max_examples=100, deadline=None)
@given(moments=st.lists(RECENT, min_size=1, max_size=4))
def test_times_are_read_in_the_ways_that_exports_write_them(moments: list[datetime]) -> None:
    texts = [way for at in moments for way in other_ways(at).items()]
    found = parse_timestamps(pl.Series([text for text, _ in texts]))
    assert found.to_list() == [expected for _, expected in texts]


@pytest.mark.parametrize(
    "text",
    [
        "12345678",
        "123456789",
        "99999999999",
        "4102444800",
        "1772359200 s",
        "1e9",
        "2026-03-01T24:00:01Z",
        "2026-03-01T24:30:00",
        "9999-12-31T24:00:00Z",
        "03/01/2026 10:00 UTC",
    ],
)
def test_times_that_may_mean_another_thing_are_none(text: str) -> None:
    assert parse_timestamps(pl.Series([text])).to_list() == [None]


FIELD = st.text('ab,"\n é', max_size=4)
TABLE = st.lists(st.lists(FIELD, min_size=2, max_size=3), max_size=6)


@settings(max_examples=200, deadline=None)
@given(table=TABLE, end=st.sampled_from(["\n", "\r\n"]), block=st.integers(1, 40))
def test_records_keep_their_lines_however_the_file_is_cut(
    table: list[list[str]], end: str, block: int
) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(table)
    data = text.getvalue().encode()
    reader = csv.reader(io.StringIO(text.getvalue(), newline=""))
    expected, before = [], 0
    for _ in reader:
        expected.append(before + 2)
        before = reader.line_num
    lines: list[int] = []
    kept, rest, line, at = b"", b"", 2, 0
    while True:
        last = at >= len(data)
        rest += data[at : at + block]
        at += block
        records = take_records(rest, line, last=last)
        assert records.bad == []
        lines += records.lines().tolist()
        kept, rest, line = kept + records.data, rest[records.used :], records.next_line
        if last:
            break
    assert list(csv.reader(io.StringIO(kept.decode(), newline=""))) == table
    assert lines == expected


@settings(max_examples=200, deadline=None)
@given(data=st.text('a,"\n\r\0', max_size=40).map(str.encode), block=st.integers(1, 50))
def test_any_bytes_are_taken_to_the_end_whatever_the_blocks(data: bytes, block: int) -> None:
    whole = take_records(data, 2, last=True)
    assert whole.used == len(data)
    lines, bad, rest, line, at = [], [], b"", 2, 0
    while True:
        last = at >= len(data)
        rest += data[at : at + block]
        at += block
        records = take_records(rest, line, last=last)
        lines += records.lines().tolist()
        bad += records.bad
        rest, line = rest[records.used :], records.next_line
        if last:
            break
    assert lines == whole.lines().tolist()
    assert bad == whole.bad


def test_a_quote_that_is_never_closed_costs_one_line() -> None:
    data = b'a,"b\n' + b"c,d\n" * 1000
    records = take_records(data, 2, last=True)
    assert [bad.line for bad in records.bad] == [2]
    assert records.lines().tolist() == list(range(3, 1003))


def test_row_hashes_are_the_same_for_ever() -> None:
    # what is stored in databases out there was made with these
    columns = {"device_id": pl.Series([1], dtype=pl.UInt64), "latency_ms": pl.Series([2.5])}
    assert text_hash("a", "b") == 11797832347080049151
    assert row_hashes(columns).tolist() == [6578649101280738933]


def test_unknown_and_missing_columns_are_the_same_content() -> None:
    latency = pl.Series([1.0, 2.0])
    runs = pl.Series([None, 0], dtype=pl.Int64)
    one = row_hashes({"latency_ms": latency})
    two = row_hashes({"latency_ms": latency, "runs": runs})
    assert one[0] == two[0]
    assert one[1] != two[1]


def test_row_hashes_tell_columns_apart_and_zeros_not() -> None:
    values = pl.Series([0.0, -0.0, 1.0])
    other = row_hashes({"power_w": values})
    found = row_hashes({"energy_mj": values})
    assert found[0] == found[1]
    assert np.unique(np.concatenate([found, other])).size == 4
