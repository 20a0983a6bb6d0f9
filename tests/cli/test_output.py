import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from hdap.cli.terminal.output import emit_json, line, table
from hdap.fleet_data.wording import (
    amount,
    counted,
    interval,
    kept,
    latency,
    megabytes,
    milliseconds,
    number,
    percent,
    seconds,
    times,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.0891, "4.09"), (1234.5, "1,234"), (0.01234, "0.0123"), (0.0, "0"), (math.nan, "-")],
)
def test_numbers_show_three_significant_figures(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        *((0.0813, "0.0813 ms"), (0.742, "0.742 ms"), (0.9996, "1.00 ms"), (7.42, "7.42 ms")),
        *((18.706, "18.71 ms"), (145.23, "145.2 ms"), (2191.98, "2,192 ms")),
        *((math.nan, "-"), (math.inf, "-")),
    ],
)
def test_latencies_keep_three_or_four_digits(ms: float, text: str) -> None:
    assert latency(ms) == text


def test_what_is_unknown_is_a_dash_whatever_it_is_a_figure_of() -> None:
    for figure in (number, percent, milliseconds, latency, times, kept, amount, megabytes, seconds):
        assert {figure(x) for x in (math.nan, math.inf, -math.inf)} == {"-"}
    assert interval(math.nan, 1.0) == interval(1.0, math.inf) == "-"


def test_a_figure_has_one_precision_and_one_unit() -> None:
    assert (times(1.85), kept(0.4484), percent(0.4484)) == ("1.85x", "0.448", "44.8 %")
    assert (amount(25_557_032), amount(14_300), amount(12)) == ("25.6 M", "14.3 k", "12")
    assert (megabytes(241_000), seconds(0.05), seconds(518.2)) == ("0.241 MB", "0.05 s", "518 s")
    assert (counted(1, "cluster"), counted(1440, "row")) == ("1 cluster", "1,440 rows")


def test_off_a_terminal_a_page_is_as_wide_as_columns_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "word " * 60
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        line(words)
        table([("a", "left"), ("b", "right")], [[words, "1"]], title="t")
        assert max(map(len, capsys.readouterr().out.splitlines())) <= width
    monkeypatch.delenv("COLUMNS")
    line(words)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_percentages_of_unknown_values_are_a_dash() -> None:
    assert percent(0.0345) == "3.5 %"
    assert percent(math.nan) == "-"


def test_json_holds_no_nan_and_knows_arrays_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json(
        {"a": np.array([1, 2]), "b": math.nan, "c": datetime(2026, 1, 2, tzinfo=UTC)}, marked=False
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"a": [1, 2], "b": None, "c": "2026-01-02T00:00:00+00:00"}


def test_numbers_of_a_server_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    values = ("2", "2.5", "1E+3", "NaN", "-Infinity")
    emit_json([Decimal(value) for value in values], marked=False)
    assert json.loads(capsys.readouterr().out) == [2, 2.5, 1000, None, None]


def test_words_that_are_no_utf_8_are_one_line() -> None:
    for command in ("model", "sql", "ingest"):
        done = subprocess.run([sys.executable, "-m", "hdap", command, b"\xff"], capture_output=True)
        assert done.returncode == 2
        assert done.stderr.decode() == "error: words must be UTF-8, but got '\\udcff': rename it\n"
