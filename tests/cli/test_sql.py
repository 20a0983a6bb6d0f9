import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from hdap.cli.commands.sql import parameters
from hdap.fleet_data.errors import InputError

Hdap = Callable[..., Result]
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
ASKED = "SELECT :n AS n, :name AS name, ':n' AS colon"


def test_a_statement_comes_from_standard_input_and_fills_named_parameters(
    hdap: Hdap, searched: Path
) -> None:
    done = hdap(
        *("sql", "-", "--param", "n=7", "--param", "name=unit=1", "--json"),
        db=searched,
        stdin=ASKED.encode(),
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [{"n": 7, "name": "unit=1", "colon": ":n"}]


def test_columns_of_one_name_are_no_json(hdap: Hdap, searched: Path) -> None:
    done = hdap("sql", "SELECT 1 AS x, 2 AS x", "--json", db=searched)
    assert done.exit_code == 1
    assert "`x` comes more than once" in done.stderr


def test_a_parameter_can_name_devices_and_never_becomes_sql(hdap: Hdap, searched: Path) -> None:
    query = "SELECT count(*) AS n FROM devices WHERE device_id = :device"
    for device, expected in (("unit-de06d5", 1), ("x' OR '1'='1", 0)):
        done = hdap("sql", query, "--param", f"device={device}", "--json", db=searched)
        assert json.loads(done.stdout) == [{"n": expected}]


def test_markdown_aligns_numbers_and_escapes_bars(hdap: Hdap, searched: Path) -> None:
    done = hdap("sql", "SELECT 1.5 AS ms, 'a|b' || char(10) || 'c' AS name", "--md", db=searched)
    assert done.stdout.splitlines() == ["| ms | name |", "| --: | --- |", "| 1.5 | a\\|b c |"]


@pytest.mark.parametrize("form", ["--csv", "--json", "--md"])
def test_every_form_says_when_it_cuts(hdap: Hdap, searched: Path, form: str) -> None:
    done = hdap("sql", "SELECT number FROM trials", form, "--limit", "2", db=searched)
    assert "only the first 2 rows" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sql", "SELECT 1", "--md", "--csv"), "exclude each other"),
        (("sql", "SELECT :n", "--param", "n"), "NAME=VALUE"),
        (("sql", "SELECT :n"), "n"),
        (("sql", "-"), "got nothing"),
        (("sql", "DELETE FROM trials"), "nothing of it was run"),
        (("sql", "SELECT randomblob(1e9)"), "at most 64 MiB"),
        (("sql", "SELECT " + ", ".join(["zeroblob(6e7) || x''"] * 20)), "into 512 MiB of memory"),
        (("sql", ENDLESS, "--timeout", "0.2"), "within 0.2 s"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    hdap: Hdap, searched: Path, arguments: tuple[str, ...], expected: str
) -> None:
    done = hdap(*arguments, db=searched)
    assert done.exit_code == 1
    assert expected in next(x for x in done.stderr.splitlines() if x.startswith("error:"))


def test_ctrl_c_stops_a_question(hdap: Hdap, searched: Path) -> None:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    done = hdap("sql", ENDLESS, db=searched)
    assert done.exit_code == 130
    assert "stopped by Ctrl-C" in done.stderr


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_numbers(number: float) -> None:
    assert parameters([f"n={number!r}"]) == {"n": number}


@given(st.from_regex(r"0\d+", fullmatch=True) | st.text("abc=:'٣ ", min_size=1))
def test_what_is_no_number_stays_a_text(text: str) -> None:
    assert parameters([f"n={text}"]) == {"n": text}


def test_a_parameter_needs_a_name() -> None:
    with pytest.raises(InputError, match="NAME=VALUE"):
        parameters(["=1"])
