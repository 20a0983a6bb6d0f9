"""45 small files as people export them: what becomes of each, row by row or in one line."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import check_source, ingest
from hdap.fleet_data.store import Store

CASES = Path(__file__).parent / "telemetry_cases"
FIELDS = "the row must have 4 fields, got"
LATENCY = "must be a finite number above 0 up to 1e+09 and may not be empty"
TIME = "must be an ISO 8601 date and time, or s, ms, us or ns since 1970"


@dataclass(frozen=True)
class Expected:
    """Rows that are added, and the rejected ones' reasons by their lines; or the one line said."""

    added: int = 0
    rejected: dict[int, str] | None = None
    error: str = ""


def _error(text: str) -> Expected:
    return Expected(error=text)


def _rows(added: int, **rejected: str) -> Expected:
    """`_rows(3, line5="...")`."""
    return Expected(added, {int(line[4:]): reason for line, reason in rejected.items()})


EXPECTED = {
    # `\"` is no CSV: where the field ends is a guess
    "backslash.csv": _rows(1, line2="a quote stands in the middle of a field"),
    "blank_lines.csv": _rows(2),
    # two files, one after the other: the header of the second is no row
    "bom_in_middle.csv": _rows(2, line3=LATENCY),
    "case_header.csv": _rows(1),
    "comment.csv": _rows(3),
    "cr_only.csv": _error(r"got bare CR: convert it: tr '\r' '\n' < FILE | hdap ingest -"),
    "cut.csv.gz": _error("must be a whole gzip file, it is damaged or cut off"),
    "cut.csv.zst": _error("must be a whole zstd file, it is damaged or cut off"),
    "double_bom.csv": _rows(3),
    "dup_extra.csv": _error("must name each column once, got 'note' again: rename one"),
    "dup_header.csv": _error("must name each column once, got 'latency_ms' again: rename one"),
    "empty.csv": _error("must start with a header line, it is empty"),
    "footer.csv": _rows(3, line5=f"{FIELDS} 1"),
    "header_only.csv": _rows(0),
    "huge_int.csv": _rows(3, line2="must be a whole number from 1 up to 9.0072e+15"),
    "index_col.csv": _rows(2),
    # its first bytes say what it is, as of an exporter that names all files alike
    "json_lines.csv": _rows(1),
    "latin1.csv": _error("got byte 0xfc in line 2: convert it, if it is Latin-1: iconv -f LATIN1"),
    "mixed_eol.csv": _rows(3),
    "named_csv_but_gz.csv": _rows(3),
    "nbsp.csv": _rows(2),
    "nul.csv": _rows(1, line2="the line holds a NUL byte"),
    # room that a logger took ahead and never wrote to
    "nul_pad.csv": _rows(3, line5="the line holds a NUL byte"),
    "nulls.csv": _rows(7),
    # names, not numbers: 007 and 7 are two devices
    "num_ids.csv": _rows(5),
    "plain_named.csv.gz": _error("is called gzip but is none"),
    "quotes.csv": _rows(
        2,
        line5="a quote stands in the middle of a field",
        line6="a quote stands in the middle of a field",
    ),
    "sci.csv": _rows(4, **{f"line{n}": LATENCY for n in (4, 5, 6, 8, 9, 10, 11)}),
    "semicolon.csv": _rows(3),
    "semicolon_decimal_comma.csv": _rows(3),
    "sep_line.csv": _rows(3),
    "space_header.csv": _rows(1),
    "tab.csv": _rows(3),
    # 1,234.5 can be nothing but 1234.5
    "thousands.csv": _rows(2),
    # a leap second, day and month in doubt, a zone by name, a mail's date, no date, too late
    "timestamps.csv": _rows(18, **{f"line{n}": TIME for n in (10, 16, 20, 21, 23, 24)}),
    "too_few.csv": _rows(1, line2=f"{FIELDS} 3"),
    "too_many.csv": _rows(1, line2=f"{FIELDS} 6"),
    "trailing_delim.csv": _rows(3),
    "trailing_delim_both.csv": _rows(3),
    "two_members.csv.gz": _rows(6),
    "utf16.csv": _error("got UTF-16: convert it: iconv -f UTF-16 -t UTF-8 FILE | hdap ingest -"),
    "utf16le_nobom.csv": _error("got NUL bytes (UTF-16?): convert it, e.g. iconv -f UTF-16LE"),
    "z.csv.zst": _rows(3),
    "z.zip": _error("got a zip: unpack it first: unzip -p FILE | hdap ingest -"),
    "zwsp_header.csv": _rows(1),
}


def test_every_case_has_its_answer() -> None:
    files = {path.name for path in CASES.iterdir() if not path.name.startswith(".")}
    assert files == EXPECTED.keys()


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copy(CASES / request.param, tmp_path))


@pytest.mark.parametrize(
    ("file", "expected"),
    [pytest.param(name, expected, id=name) for name, expected in EXPECTED.items()],
    indirect=["file"],
)
def test_what_becomes_of_a_file(file: Path, expected: Expected, tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "hdap.db")) as store:
        if expected.error:
            with pytest.raises(InputError) as refused:
                ingest(store, file)
            assert expected.error in str(refused.value)
            assert "\n" not in str(refused.value)
            assert len(store.measurements()) == 0
            return
        check_source(file)
        report = ingest(store, file)
    assert report.added == expected.added
    assert report.rows == report.added + len(expected.rejected or {})
    found = {}
    if report.rejected_path:
        with report.rejected_path.open(newline="") as rejects:
            found = {int(row["line"]): row["reason"] for row in csv.DictReader(rejects)}
    assert found == (expected.rejected or {})


READ = {
    "semicolon_decimal_comma.csv": [70.5, 71.9, 91.2],
    "thousands.csv": [1234.5, 1234.5],
    "sci.csv": [70.0, 70.0, 70.5, 70.5],
    "quotes.csv": [70.5, 71.0],
}


@pytest.mark.parametrize("file", READ, indirect=True)
def test_numbers_are_what_was_meant(file: Path, tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "hdap.db")) as store:
        ingest(store, file)
        assert sorted(store.measurements().latency_ms.tolist()) == READ[file.name]


@pytest.mark.parametrize("file", ["nulls.csv"], indirect=True)
def test_what_is_marked_as_empty_is_unknown(file: Path, tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "hdap.db")) as store:
        ingest(store, file)
        told = store.query("SELECT count(*), count(temperature_c) FROM telemetry").rows
    assert told == ((7, 0),)
