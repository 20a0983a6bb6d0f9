"""What a command offers next is a command that works where it is offered."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import Result

from hdap.cli import app
from hdap.cli.app import COMMANDS
from hdap.cli.options.config_file import flags
from hdap.cli.terminal.next_steps import (
    WITHOUT_DATABASE,
    Named,
    as_typed,
    remember_named,
    told_aside,
)
from hdap.fleet_data.store import Store
from hdap.fleet_data.units.set_aside import SetAside
from hdap.search.problem.budget import parse_ms
from hdap.workflows.next_commands import (
    command_line,
    for_models,
    free_name,
    measured_files,
    sizes_command,
)

Hdap = Callable[..., Result]
HEAD = "device_id,model,channels,latency_ms,timestamp"


def _offered(text: str) -> list[str]:
    return re.findall(r"^(?:next|then): (.*)$", text, re.MULTILINE)


def _file(folder: Path, pruned: int) -> Path:
    dense = [f"d{i},resnet50,,{50 + i},2026-11-21T00:0{i}:00Z" for i in range(3)]
    some = [f"d0,resnet50,conv1={8 * i},{40 + i},2026-11-21T01:0{i}:00Z" for i in range(1, 8)]
    other = [f"d0,resnet50,layer1.0.conv1={8 * i},{45 + i},2026-11-21T02:00:00Z" for i in (1, 2)]
    path = folder / f"{pruned}.csv"
    path.write_text("\n".join([HEAD, *dense, *[*some, *other][:pruned]]) + "\n")
    return path


@given(st.floats(1e-4, 1e6))
def test_a_deadline_is_offered_as_it_can_be_typed_and_never_shortened(ms: float) -> None:
    words = shlex.split(sizes_command("net", ms, step=4))
    asked = parse_ms(words[words.index("--latency") + 1], "a deadline", "20ms")
    assert ms * (1 - 1e-12) <= asked <= 1.001 * ms
    assert words[-2:] == ["--step", "4"]
    assert "--step" not in sizes_command("net", ms, step=0)


def test_commands_without_a_database_are_those_that_take_none() -> None:
    assert {words for words, wanted in COMMANDS.items() if "db" not in flags(wanted)} == (
        WITHOUT_DATABASE
    )


@pytest.mark.parametrize(
    ("command", "named", "expected"),
    [
        ("hdap status", Named(), "hdap status"),
        ("hdap status", Named(db="my fleet.db"), "hdap status --db 'my fleet.db'"),
        ("hdap measure out", Named(db="a.db"), "hdap measure out --db a.db"),
        ("hdap elastic deploy x", Named(db="a.db"), "hdap elastic deploy x"),
        ("hdap portfolio build x", Named(db="a.db"), "hdap portfolio build x --db a.db"),
        ("hdap ingest x --db b.db", Named(db="a.db"), "hdap ingest x --db b.db"),
        ("hdap trials", Named(config="c d.toml"), "hdap --config 'c d.toml' trials"),
        ("optuna-dashboard x", Named(db="a.db"), "optuna-dashboard x"),
        (
            "hdap trials",
            Named(db="postgresql://me:secret@host/x"),
            "hdap trials --db 'postgresql://me:***@host/x'",
        ),
        (
            "hdap trials",
            Named(db="postgresql://me:a/b@host/x"),
            "hdap trials --db 'postgresql://me:***@host/x'",
        ),
        (
            "hdap trials",
            Named(db="postgresql://me:se:cret@host/x"),
            "hdap trials --db 'postgresql://me:***@host/x'",
        ),
        (
            "hdap trials",
            Named(db="postgresql://host/x?user=me&password=secret"),
            "hdap trials --db 'postgresql://host/x?password=***&user=me'",
        ),
    ],
)
def test_what_was_named_on_the_command_line_is_named_again(
    command: str, named: Named, expected: str
) -> None:
    remember_named(named)
    assert as_typed(command) == expected
    remember_named(Named())


def test_a_repair_speaks_to_the_database_that_was_named() -> None:
    rows = SetAside("t.csv", "net", ("cam-9",), 1e-3, 1e3, 20.0, False, 4, False)
    remember_named(Named(db="fleet.db"))
    assert told_aside(rows).endswith("if so, hdap ingest t.csv --unit cam-9=us --db fleet.db")
    remember_named(Named())


def test_names_of_devices_are_printed_as_they_are(hdap: Hdap, searched: Path) -> None:
    name = "00:cd:ab:12:5e:00 :m: [bold]"
    done = hdap("sql", f"SELECT '{name}' AS device", db=searched)
    assert name in done.stdout
    assert name in hdap("trials", "--study", name, db=searched).stderr


def test_what_is_not_there_is_named_with_what_is(hdap: Hdap, searched: Path) -> None:
    done = hdap("status", "--model", "nothing", db=searched)
    assert done.exit_code == 1
    assert "measurements of nothing, but it has: resnet50" in done.stderr
    done = hdap("devices", "--cluster", "9", db=searched)
    assert done.exit_code == 1
    assert "one of 0 to 3" in done.stderr
    assert "hdap cluster" not in hdap("devices", "--changed", db=searched).stdout


def test_what_a_resumed_search_does_not_use_is_told(hdap: Hdap, database: Path) -> None:
    resumed = ("search", "--resume", "resnet50-1.0G-1", "--trials", "410", "--seed", "9")
    done = hdap(*resumed, "--model", "resnet50", "--flops", "50%", db=database)
    assert done.exit_code == 0, done.output
    assert "it was asked, --flops, --seed of now is not used" in " ".join(done.stderr.split())
    same = ("--model", "resnet50", "--flops", "1.0G", "--floor-share", "100%", "--step", "0")
    again = hdap(*resumed[:3], "--trials", "420", *same, db=database)
    assert "of now" not in again.stderr


def test_names_with_blanks_survive_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shlex.split(command_line("trials", "--study", "my 'own' study"))[-1] == "my 'own' study"
    assert measured_files(Path("my bundles"), "*") == "'my bundles'/*/measured-*.csv"
    monkeypatch.chdir(tmp_path)
    assert free_name("bundles") == "bundles"
    Path("bundles").mkdir()
    Path("x.onnx").touch()
    assert (free_name("bundles"), free_name("x.onnx")) == ("bundles-2", "x-2.onnx")


@pytest.mark.parametrize(("pruned", "next_one"), [(0, "plan"), (7, "plan"), (8, "search")])
def test_a_search_is_offered_where_enough_was_measured_for_one(
    hdap: Hdap, fresh: Callable[[Path], Path], tmp_path: Path, pruned: int, next_one: str
) -> None:
    db = fresh(tmp_path / "hdap.db")
    told = [hdap("ingest", str(_file(tmp_path, pruned)), db=db)]
    told += [hdap(command, db=db) for command in ("cluster", "status")]
    for done in told:
        assert done.exit_code == 0, done.output
        commands = [line.split() for line in _offered(done.stdout)]
        assert commands[-1][1] == next_one
        assert commands[-1][-2:] == ["--db", str(db)]
    words = _offered(told[0].stdout)[-1].split()[1:]
    if next_one == "search":
        done = hdap(*words, "--trials", "20")
        assert done.exit_code == 0, done.output


def test_pruned_rows_of_two_workloads_are_not_counted_together(
    hdap: Hdap, fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    db = fresh(tmp_path / "hdap.db")
    path = _file(tmp_path, 8)
    lines = path.read_text().splitlines()
    rows = [f"{line},{1 + (i > 8)}" for i, line in enumerate(lines[1:], start=1)]
    path.write_text("\n".join([f"{HEAD},batch_size", *rows]) + "\n")
    assert hdap("ingest", str(path), db=db).exit_code == 0
    with Store.open(str(db)) as store:
        assert for_models(store)[0].startswith("hdap plan ")


@pytest.mark.parametrize(
    ("clustered", "outlier", "next_one"),
    [(False, "", "hdap cluster"), (True, "", "hdap search"), (True, "b", "hdap plan")],
)
def test_what_outliers_measured_does_not_count(
    clustered: bool, outlier: str, next_one: str
) -> None:
    store = SimpleNamespace(
        configuration_counts=lambda: {"net:x": 9},
        pruned_pairs=lambda model: [("a", i) for i in range(7)] + [("b", i) for i in (6, 7)],
        clustering_head=lambda: SimpleNamespace(id=1) if clustered else None,
        outliers=lambda clustering_id: frozenset({outlier}),
    )
    assert for_models(cast(Store, store))[0].startswith(next_one)


def test_what_needs_something_of_the_reader_is_not_called_next(
    hdap: Hdap, fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    db = fresh(tmp_path / "hdap.db")
    for command in (("status",), ("devices",), ("model", "resnet50")):
        done = hdap(*command, db=db)
        assert done.exit_code == 0, done.output
        assert _offered(done.stdout) == []
        assert f"with TELEMETRY.csv of yours: hdap ingest TELEMETRY.csv --db {db}" in done.stdout


def test_what_is_offered_is_read_by_the_command_line(hdap: Hdap, database: Path) -> None:
    for words in (
        *(("status",), ("devices",), ("trials",), ("trials", "--pareto"), ("trials", "--studies")),
        *(("trials", "--trial", "0"), ("cluster",), ("fit", "--model", "resnet50")),
    ):
        done = hdap(*words, db=database)
        offered = _offered(done.stdout)
        assert offered, words
        for line in offered:
            first, *rest = shlex.split(line)
            assert first == "hdap"
            # raises where an option is missing or unknown
            get_command(app).commands[rest[0]].make_context(rest[0], rest[1:])  # type: ignore[attr-defined]
