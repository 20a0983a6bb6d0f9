"""What --json prints is described in docs/json; the `hdap` fixture checks whatever passes by."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from typer.testing import Result

from hdap.cli.app import COMMANDS
from hdap.cli.settings.shared_flags import WithJson

Hdap = Callable[..., Result]
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "json"
SPEAKING = sorted(words for words, wanted in COMMANDS.items() if issubclass(wanted, WithJson))
ON_THE_DEMO = {
    "cluster": ("--resamples", "0"),
    "devices": (),
    "fit": ("--model", "resnet50", "--kind", "roofline"),
    "model": ("resnet50",),
    "plan": ("--model", "resnet50", "--per-cluster", "1", "--out", "OUT"),
    "plot": ("pareto", "--out", "OUT.svg"),
    "report": ("--out", "OUT.html"),
    "search": ("--model", "resnet50", "--flops", "1.0G", "--trials", "20"),
    "sql": ("SELECT * FROM trial_summary",),
    "status": (),
    "trials": (),
}
SEVERAL = ("--model", "resnet50", "--latency", "20ms", "--networks", "2", "--trials", "60")


@pytest.mark.parametrize("command", SPEAKING)
def test_every_json_document_is_described(command: str) -> None:
    schema = json.loads((SCHEMAS / f"{command.replace(' ', '_')}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"hdap {command} --json"


@pytest.mark.parametrize("command", ON_THE_DEMO)
def test_what_a_command_prints_is_what_is_described(
    hdap: Hdap, database: Path, tmp_path: Path, command: str
) -> None:
    arguments = [a.replace("OUT", str(tmp_path / "out")) for a in ON_THE_DEMO[command]]
    done = hdap(command, *arguments, "--json", db=database)
    assert done.exit_code == 0, done.output
    schema = json.loads((SCHEMAS / f"{command}.json").read_text())
    jsonschema.validate(json.loads(done.stdout), schema)


def test_several_networks_are_described(hdap: Hdap, database: Path) -> None:
    # the fixture holds each document against its schema
    for name, command in {"search_networks": ("search", *SEVERAL), "assign": ("assign",)}.items():
        done = hdap(*command, "--json", db=database)
        assert done.exit_code == 0, done.output
        assert (SCHEMAS / f"{name}.json").exists()


def test_a_document_that_changed_is_noticed() -> None:
    schema = json.loads((SCHEMAS / "status.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"database": "x"}, schema)
