import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner, Result

from hdap.cli import app
from hdap.cli.app import COMMANDS as SETTINGS
from hdap.cli.options.config_file import flags, table_of

Hdap = Callable[..., Result]


def _click(words: str) -> Any:
    at: Any = get_command(app)
    for word in words.split():
        at = at.commands[word]
    return at


COMMANDS = {words: _click(words) for words in SETTINGS}


def _run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "160", **environment}).invoke(app, arguments)


def _hdap(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hdap", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"TERM": "xterm"} | environment
    )


@pytest.fixture
def settings(tmp_path: Path, searched: Path) -> Path:
    path = tmp_path / "hdap.toml"
    path.write_text(f'db = "{searched}"\n[trials]\nlimit = 3\n[search]\nflops-tol = 0.1\n')
    return path


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_can_be_quiet_and_verbose_and_dump_its_settings(command: str) -> None:
    names = {o for p in COMMANDS[command].params for o in p.opts}
    assert {"-q", "--quiet", "-v", "--verbose", "--dump-config"} <= names


def test_settings_come_from_the_file_the_environment_and_the_command_line_in_that_order(
    settings: Path, tmp_path: Path
) -> None:
    def limit_and_db(*more: str, **environment: str) -> tuple[object, object]:
        done = _run("--config", str(settings), "trials", *more, "--dump-config", **environment)
        table = tomllib.loads(done.stdout)["trials"]
        return table["limit"], table["db"]

    db = tomllib.loads(settings.read_text())["db"]
    assert limit_and_db() == (3, db)
    assert limit_and_db(HDAP_DB="other.db") == (3, "other.db")
    assert limit_and_db("--limit", "7", "--db", "mine.db", HDAP_DB="other.db") == (7, "mine.db")


def test_a_command_uses_the_settings(settings: Path) -> None:
    done = _run("--config", str(settings), "trials", "--json")
    assert done.stdout.count('"number"') == 3


def test_the_file_in_the_folder_is_found(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tomllib.loads(_run("search", "--dump-config").stdout)["search"]["flops-tol"] == 0.1


def test_all_settings_are_dumped_and_read_back_as_they_are(settings: Path, tmp_path: Path) -> None:
    first = _run("--config", str(settings), "--dump-config")
    tables = tomllib.loads(first.stdout)
    for words in COMMANDS:
        table = tables
        for word in words.split():
            table = table[word]
    again = tmp_path / "again.toml"
    again.write_text(first.stdout)
    assert _run("--config", str(again), "--dump-config").stdout == first.stdout


def test_commands_below_a_group_have_tables_below_its_own(tmp_path: Path) -> None:
    path = tmp_path / "hdap.toml"
    path.write_text('db = "x.db"\n[elastic.train]\nepochs = 3\n')
    table = tomllib.loads(_run("--config", str(path), "--dump-config").stdout)["elastic"]["train"]
    assert (table["db"], table["epochs"]) == ("x.db", 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[serach]\n", "did you mean `search`?"),
        ("[search]\nflop = 1\n", "did you mean `flops`?"),
        ("colour = 1\n", "a flag of any command"),
        ("[search\n", "must be TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "hdap.toml"
    path.write_text(text)
    done = _run("--config", str(path), "status")
    assert done.exit_code == 1
    assert expected in done.stderr


def test_a_named_file_must_be_there() -> None:
    assert "check --config" in _run("--config", "nowhere.toml", "status").stderr


@given(st.text() | st.integers() | st.booleans() | st.lists(st.text()))
def test_values_survive_toml(value: object) -> None:
    text = table_of("search", {"flops": value, "model": None})
    assert tomllib.loads(text) == {"search": {"flops": value}}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_flags_are_named_as_on_the_command_line(command: str) -> None:
    spelled = {o for p in COMMANDS[command].params for o in p.opts}
    assert {f"--{flag}" for flag in flags(SETTINGS[command])} <= spelled


def test_quiet_prints_results_alone_and_verbose_says_when(searched: Path) -> None:
    quiet = _run("fit", "--model", "resnet50", "-q", "--db", str(searched))
    assert quiet.exit_code == 0, quiet.output
    assert "held-out error" in quiet.stdout
    assert "next:" not in quiet.stdout
    assert quiet.stderr == ""
    loud = _run("fit", "--model", "resnet50", "-v", "--db", str(searched))
    assert re.search(r"· \d+\.\d\d s clustering", loud.stderr)
    assert re.search(r"done, [\d,]+ MiB", loud.stderr)


def test_warnings_are_not_silenced(hdap: Hdap, searched: Path) -> None:
    done = hdap("sql", "SELECT number FROM trials", "--limit", "1", "-q", db=searched)
    assert "only the first 1 rows" in done.stderr


def test_a_pipe_gets_no_colours(searched: Path) -> None:
    done = _hdap("status", "--db", str(searched))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_the_shell_completes_commands_options_and_kinds_of_pictures() -> None:
    def completed(words: str) -> str:
        where = {"_HDAP_COMPLETE": "complete_bash", "COMP_WORDS": words}
        return _complete(where | {"COMP_CWORD": str(len(words.split(" ")) - 1)})

    assert "search" in completed("hdap sea").split()
    assert "--flops" in completed("hdap search --fl").split()
    assert completed("hdap plot par").split() == ["parity", "pareto"]


def _complete(environment: dict[str, str]) -> str:
    code = "import sys; sys.argv = ['hdap']; from hdap.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment
    )
    return done.stdout


def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    hdap: Hdap, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdap.fleet_data.extras.EXTRAS", {"report": ("no_such_package",)})
    done = hdap("report", db=searched)
    assert done.exit_code == 1
    assert "pip install 'hdap[report]'" in done.stderr


def test_hdap_alone_shows_its_help_and_without_a_command_is_wrong_usage(settings: Path) -> None:
    assert "Usage" in _run().output
    assert _run("--config", str(settings)).exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'optuna', 'sqlalchemy', 'torch', 'polars', 'altair', 'jinja2'}"
    code = (
        "import sys; from hdap.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print('loaded:', sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
