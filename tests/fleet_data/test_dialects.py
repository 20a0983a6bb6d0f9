"""The same rows, however a file writes them: delimiters, decimal signs, markers, times."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.csv_reader import read_csv
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading
from hdap.fleet_data.ingest.validate import Checked, Checker

HEADER = ("device_id", "model", "latency_ms", "temperature_c", "runs", "runtime", "timestamp")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """A measurement; None is unknown, `at` whole seconds since 1970."""

    device: str
    latency: str
    temperature: str | None
    runs: int | None
    runtime: str | None
    at: int | None


@dataclass(frozen=True)
class Dialect:
    """One way of writing a file."""

    delimiter: str = ","
    decimal: str = "."
    unknown: str = ""
    time: str = "iso"
    above: str = ""
    end: str = "\n"
    trailing: bool = False
    capitals: bool = False
    around: str = ""

    def number(self, text: str | None) -> str:
        """A number with its decimal sign, in quotes where that is the delimiter."""
        if text is None:
            return self.unknown
        written = text.replace(".", self.decimal)
        return f'"{written}"' if self.delimiter in written else f"{self.around}{written}"

    def moment(self, at: int | None) -> str:
        """A time."""
        if at is None:
            return self.unknown
        iso = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return {
            "iso": f"{iso}Z",
            "none": iso,
            "z": f"{iso}z",
            "utc": f"{iso} UTC",
            "s": f"{at}",
            "ms": f"{at}000",
            "us": f"{at}000000",
            "ns": f"{at}000000000",
        }[self.time]

    def write(self, rows: list[Row]) -> bytes:
        """A file."""
        header = [name.upper() if self.capitals else name for name in HEADER]
        cells = [header] + [
            [
                f"{self.around}{row.device}",
                f"resnet50{self.around}",
                self.number(row.latency),
                self.number(row.temperature),
                self.unknown if row.runs is None else str(row.runs),
                row.runtime or self.unknown,
                self.moment(row.at),
            ]
            for row in rows
        ]
        last = self.delimiter if self.trailing else ""
        lines = [self.delimiter.join(line) + last for line in cells]
        lines[0] = lines[0].removesuffix(last) if last else lines[0]
        return (self.above + "".join(line + self.end for line in lines)).encode()


# three decimals may be thousands
NUMBERS = st.tuples(st.integers(1, 99_999), st.sampled_from(["5", "25", "0625"])).map(
    lambda parts: f"{parts[0]}.{parts[1]}"
)
ROWS = st.lists(
    st.builds(
        Row,
        device=st.sampled_from(["a", "ü-2", "007"]),
        latency=NUMBERS,
        temperature=st.none() | NUMBERS.map(lambda text: text[-4:].lstrip("0.") or "1.5"),
        runs=st.none() | st.integers(1, 10**6),
        runtime=st.none() | st.sampled_from(["int8", "onnxruntime-cpu-1t"]),
        at=st.none() | st.integers(946_684_800, 4_102_444_799),
    ),
    min_size=1,
    max_size=6,
)
DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    unknown=st.sampled_from(["", "NULL", "null", "N/A", "nan", "NaN", r"\N", "-", "None"]),
    time=st.sampled_from(["iso", "none", "z", "utc", "s", "ms", "us", "ns"]),
    above=st.lists(
        st.sampled_from(["\ufeff", "# exported\n", "#\n", "\n"]), max_size=3, unique=True
    ).map("".join),
    end=st.sampled_from(["\n", "\r\n"]),
    trailing=st.booleans(),
    capitals=st.booleans(),
    around=st.sampled_from(["", " ", "\u200b", "\ufeff", "\u00a0"]),
)


def checked(data: bytes, reading: SourceReading = AS_FOUND) -> list[Checked]:
    checker = Checker(reading)
    return [checker.check(block) for block in read_csv("t.csv", io.BytesIO(data), reading)]


def frame(data: bytes, reading: SourceReading = AS_FOUND) -> pl.DataFrame:
    return pl.concat([part.frame for part in checked(data, reading)])


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, dialect=DIALECTS)
def test_a_file_in_any_dialect_holds_the_rows_of_the_plain_one(
    rows: list[Row], dialect: Dialect
) -> None:
    plain, found = frame(Dialect().write(rows)), frame(dialect.write(rows))
    assert plain.height == len(rows)
    assert found.rows() == plain.rows()


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_a_line_that_names_the_delimiter_is_obeyed(delimiter: str) -> None:
    rows = [Row("a", "1.5", None, 3, None, None)]
    written = Dialect(delimiter, above=f"sep={delimiter}\n").write(rows)
    assert frame(written).rows() == frame(Dialect().write(rows)).rows()


def test_other_delimiters_and_signs_can_be_said() -> None:
    data = b"device_id:model:latency_ms\na:m:1,234\n"
    with pytest.raises(InputError, match=r"got 'device_id:model:latency_ms': .*--delimiter"):
        checked(data)
    assert frame(data, SourceReading(delimiter=":", decimal=","))["latency_ms"].to_list() == [1.234]
    assert frame(data, SourceReading(delimiter=":", decimal="."))["latency_ms"].to_list() == [
        1234.0
    ]
    (undecided,) = checked(data, SourceReading(delimiter=":"))
    assert "--decimal" in undecided.rejects["reason"][0]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,5", "1,234"], [1.5, 1.234]),
        (["1,234.5", "1,234"], [1234.5, 1234.0]),
        (["1.234,5", "1.234"], [1234.5, 1234.0]),
        (["1,234,567", "1,234"], [1234567.0, 1234.0]),
        (["0,123", "1e2"], [0.123, 100.0]),
        (["1,5", "2.5"], [2.5]),
        (["1,234", "2,345"], []),
        (["1,23,456", "1,5,"], []),
    ],
)
def test_a_column_is_read_by_its_numbers_that_leave_no_doubt(
    texts: list[str], values: list[float]
) -> None:
    rows = "".join(f"d;m;{text}\n" for text in texts)
    found = frame(f"device_id;model;latency_ms\n{rows}".encode())
    assert found["latency_ms"].to_list() == values


def test_what_has_no_name_must_be_empty() -> None:
    (part,) = checked(b"device_id,model,latency_ms\na,m,1,\nb,m,2,x\nc,m,3\nd,m,4,\n")
    assert part.frame["device_id"].to_list() == ["a", "d"]
    assert sorted(part.rejects["line"]) == [3, 4]


def test_lines_stay_exact_below_comments() -> None:
    (part,) = checked(b"# a\n\n#b\ndevice_id;model;latency_ms\na;m;1\nb;m;x\nc;m\n")
    assert sorted(part.rejects["line"]) == [6, 7]


def test_what_is_required_is_never_unknown() -> None:
    (part,) = checked(b"device_id,model,latency_ms\na,m,-\nb,m,nan\nc,m,NULL\n")
    assert part.frame.height == 0


def test_the_sign_is_learned_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdap.fleet_data.ingest.csv_reader.BLOCK_BYTES", 30)
    rows = ["a;m;1,5", *["a;m;1,234"] * 20]
    found = frame("\n".join(["device_id;model;latency_ms", *rows]).encode())["latency_ms"]
    assert found.to_list() == [1.5, *[1.234] * 20]
