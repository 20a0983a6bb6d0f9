import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import Result

from hdap.cli import app

Hdap = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text(), re.S)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented_in_its_help(command: str) -> None:
    found = get_command(app).commands[command]  # type: ignore[attr-defined]
    assert found.help
    assert [p.name for p in found.params if not p.help and p.param_type_name == "option"] == []


def test_the_readme_leads_to_the_list_of_commands_which_has_them_all(hdap: Hdap) -> None:
    assert "`hdap --help`" in (ROOT / "README.md").read_text()
    listed = re.findall(r"^. ([\w-]+) ", hdap("--help").stdout, re.M)
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("devices",),
        ("cluster", "--resamples", "2"),
        ("trials",),
        ("trials", "--pareto"),
        ("trials", "--studies"),
        ("trials", "--trial", "0"),
        ("model", "resnet50"),
        ("sql", "SELECT * FROM trial_summary"),
    ],
)
def test_json_output_is_one_document_and_the_table_ends_with_the_next_command(
    hdap: Hdap, database: Path, arguments: tuple[str, ...]
) -> None:
    as_json = hdap(*arguments, "--json", db=database)
    assert as_json.exit_code == 0, as_json.output
    assert json.loads(as_json.stdout)
    table = hdap(*arguments, db=database)
    assert table.exit_code == 0, table.output
    assert table.stdout.strip()
    if arguments[0] != "sql":
        assert table.stdout.strip().splitlines()[-1].startswith("next: hdap ")


def test_the_page_on_sql_shows_at_least_five_queries() -> None:
    assert len(QUERIES) >= 5


def test_sql_says_when_it_cuts_and_prints_csv(hdap: Hdap, searched: Path) -> None:
    done = hdap("sql", "SELECT number FROM trials", "--csv", "--limit", "3", db=searched)
    assert len(done.stdout.splitlines()) == 4
    assert "only the first 3 rows" in done.stderr


def test_search_on_a_filled_database_never_loads_torch(database: Path) -> None:
    code = (
        "import sys; from hdap.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print('loaded:', sorted({'torch', 'timm'} & set(sys.modules)))"
    )
    arguments = ["search", "--model", "resnet50", "--flops", "1.5G", "--trials", "20"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--db", str(database)],
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


def test_ctrl_c_keeps_what_was_found_and_exits_130(hdap: Hdap, database: Path) -> None:
    command = ["search", "--model", "resnet50", "--flops", "1.0G", "--trials", "100000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "hdap", *command, "--study", "stopped", "--db", str(database)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    count = "SELECT count(*) AS n FROM trials WHERE study = 'stopped'"
    for _ in range(300):
        time.sleep(0.2)
        if json.loads(hdap("sql", count, "--json", db=database).stdout)[0]["n"]:
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err.decode()
    assert b"Traceback" not in err
    assert b"found" in out
    kept = json.loads(hdap("trials", "--study", "stopped", "--json", db=database).stdout)
    assert len(kept) == 10
    summary = "SELECT state FROM studies WHERE study = 'stopped'"
    assert json.loads(hdap("sql", summary, "--json", db=database).stdout) == [{"state": "stopped"}]
