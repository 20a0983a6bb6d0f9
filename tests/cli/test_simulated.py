import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Hdap = Callable[..., Result]
CLI = Path(__file__).resolve().parents[2] / "hdap" / "cli"
MARK = "simulated"
PRINTED = {
    "ingest": ("ingest", "FILE"),
    "devices": ("devices",),
    "cluster": ("cluster", "--resamples", "0"),
    "fit": ("fit", "--model", "resnet50", "--kind", "roofline"),
    "search": ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "20"),
    "trials": ("trials",),
    "pareto": ("trials", "--pareto"),
    "one trial": ("trials", "--trial", "0"),
    "studies": ("trials", "--studies"),
    "status": ("status",),
}


@pytest.fixture(scope="session")
def simulated_file(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "fleet"
    # few networks, so that the measured fleet's own model is all that has to be traced
    options = ("--devices", "60", "--rows", "8", "--configurations", "60", "--measured-rows", "30")
    done = hdap("simulate", "--out", str(folder), "--preset", "cameras", *options)
    assert done.exit_code == 0, done.output
    assert "Simulated, not measured" in done.stdout
    return folder / "telemetry.csv.gz"


@pytest.fixture(scope="session")
def simulated(hdap: Hdap, simulated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "hdap.db"
    ingested = hdap("ingest", str(simulated_file), db=path)
    assert ingested.exit_code == 0, ingested.output
    assert "simulated data" in ingested.stdout
    assert "holds simulated rows" in ingested.stderr
    command = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "100")
    searched = hdap(*command, db=path)
    assert searched.exit_code == 0, searched.output
    return path


def _tables(printed: str) -> list[str]:
    lines = printed.splitlines()
    rules = [i for i, line in enumerate(lines) if line and set(line.strip()) == {"─"}]
    # a title and a head of up to three lines stand above the rule
    return ["\n".join(lines[max(0, i - 4) : i]) for i in rules]


@pytest.mark.parametrize("command", PRINTED)
def test_every_table_and_document_from_simulated_data_says_so(
    hdap: Hdap, simulated: Path, simulated_file: Path, tmp_path: Path, command: str
) -> None:
    database = Path(shutil.copy(simulated, tmp_path / "hdap.db"))
    arguments = [str(simulated_file) if part == "FILE" else part for part in PRINTED[command]]
    done = hdap(*arguments, db=database)
    assert done.exit_code == 0, done.output
    assert MARK in done.stdout
    assert [table for table in _tables(done.stdout) if MARK not in table] == []
    assert "holds simulated rows" in done.stderr
    document = json.loads(hdap(*arguments, "--json", db=database).stdout)
    parts = document if isinstance(document, list) else [document]
    assert parts
    assert [part["simulated"] for part in parts] == [True] * len(parts)


@pytest.mark.parametrize("command", PRINTED)
def test_nothing_from_measured_data_is_called_simulated(
    hdap: Hdap,
    database: Path,
    fleet_file: Callable[[str], Path],
    command: str,
) -> None:
    file = str(fleet_file("resnet50"))
    arguments = [file if part == "FILE" else part for part in PRINTED[command]]
    done = hdap(*arguments, db=database)
    assert done.exit_code == 0, done.output
    assert MARK not in done.output
    document = json.loads(hdap(*arguments, "--json", db=database).stdout)
    parts = document if isinstance(document, list) else [document]
    assert [part["simulated"] for part in parts] == [False] * len(parts)


def test_sql_warns_and_its_rows_stay_rows(hdap: Hdap, simulated: Path) -> None:
    done = hdap("sql", "SELECT count(*) AS n FROM trials", "--json", db=simulated)
    assert json.loads(done.stdout) == [{"n": 100}]
    assert "holds simulated rows" in done.stderr
    printed = hdap("sql", "SELECT count(*) AS n FROM trials", "--csv", db=simulated)
    assert printed.stdout == "n\n100\n"
    assert MARK in hdap("sql", "SELECT count(*) AS n FROM trials", db=simulated).stdout


def test_what_a_network_is_does_not_rest_on_simulated_data(hdap: Hdap, simulated: Path) -> None:
    done = hdap("model", "resnet50", db=simulated)
    assert done.exit_code == 0, done.output
    assert MARK not in done.output.replace(str(simulated), "")
    assert "simulated" not in json.loads(hdap("model", "resnet50", "--json", db=simulated).stdout)


def test_measured_rows_beside_simulated_ones_do_not_hide_them(
    hdap: Hdap, database: Path, simulated_file: Path
) -> None:
    assert MARK not in hdap("status", db=database).output
    assert hdap("ingest", str(simulated_file), db=database).exit_code == 0
    assert "holds simulated rows" in hdap("status", db=database).stderr


def test_no_command_opens_the_database_in_a_way_that_forgets_the_mark() -> None:
    opening = {
        path.name
        for path in CLI.glob("*.py")
        if re.search(r"\bStore\.open\(", path.read_text()) and path.name != "opening.py"
    }
    assert opening == set()
