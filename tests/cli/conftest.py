import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from hdap.cli import app
from hdap.cli.terminal.output import mark_simulated
from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "json"
ANOTHER_DOCUMENT = {"search": "--networks", "verify": "--out"}
"""Commands that print another document with a flag."""

TRAINNETS = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def small():
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(32, 3),
    )
    network.input_shape = (1, 6, 6)
    return network

def rows(count=96, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = 0.3 * torch.randn(count, 1, 6, 6, generator=rng)
    images[torch.arange(count), 0, labels * 2] += 1.5
    return TensorDataset(images, labels), None
"""


@pytest.fixture(scope="session")
def hdap() -> Hdap:
    """Run a command in this process: `hdap("search", "--flops", "1.0G", db=...)`."""
    runner = CliRunner(env={"COLUMNS": "160"})

    def run(*arguments: str, db: Path | str | None = None, stdin: bytes | None = None) -> Result:
        at = [] if db is None else ["--db", str(db)]
        mark_simulated(simulated=False)  # as in a process of its own
        done = runner.invoke(app, [*arguments, *at], input=stdin)
        if "--json" in arguments and done.stdout.startswith(("{", "[")):
            command = _command(arguments)
            for text in done.stdout.splitlines() if command == "watch" else [done.stdout]:
                _check_json(command, text)
        return done

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with `trainnets:small` and `trainnets:rows` to train."""
    (tmp_path / "trainnets.py").write_text(TRAINNETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "trainnets", raising=False)
    return tmp_path


def _command(arguments: tuple[str, ...]) -> str:
    """The command's words, joined as its schema's file is named."""
    grouped = hasattr(get_command(app).commands[arguments[0]], "commands")  # type: ignore[attr-defined]
    words = arguments[: 1 + grouped]
    flag = ANOTHER_DOCUMENT.get(words[0], "")
    return "_".join((*words, flag.lstrip("-")) if flag in arguments else words)


def _check_json(command: str, text: str) -> None:
    """Whatever a command prints with --json is as its schema in docs/json says.

    Where the output was changed on purpose: scripts/json_schemas.py writes the schemas.
    """
    document = json.loads(text)
    if log := os.environ.get("HDAP_JSON_LOG"):
        name = f"{command}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        Path(log).mkdir(exist_ok=True)
        (Path(log) / name).write_text(text)
        return
    schema = SCHEMAS / f"{command}.json"
    if schema.exists():  # test_json.py says which are missing
        jsonschema.validate(document, json.loads(schema.read_text()))


@pytest.fixture(scope="session")
def searched(hdap: Hdap, fleet_file: Callable[[str], Path], once: Callable[..., Path]) -> Path:
    """A database of the measured ResNet-50 fleet after the two commands that do the job."""

    def fill(folder: Path) -> None:
        db = folder / "hdap.db"
        ingested = hdap("ingest", str(fleet_file("resnet50")), db=db)
        assert ingested.exit_code == 0, ingested.output
        found = hdap("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "400", db=db)
        assert found.exit_code == 0, found.output

    return once("searched", fill) / "hdap.db"


@pytest.fixture(autouse=True)
def _searched_stays_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of a worker reads the searched database: one that adds to it fails, by name."""
    yield
    if "searched" in request.fixturenames:
        with Store.open(str(request.getfixturevalue("searched")), read_only=True) as store:
            assert [study.name for study in store.studies()] == ["resnet50-1.0G-1"], (
                "this test stored a study in `searched`: take `database`, a private copy"
            )


@pytest.fixture
def database(searched: Path, tmp_path: Path) -> Path:
    """A private copy of the searched database."""
    return Path(shutil.copy(searched, tmp_path / "hdap.db"))
