"""The image, the compose file and the examples of docs/watch.md, as far as that needs no daemon."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from hdap.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "watch.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def understood(words: list[str]) -> None:
    """The command line takes these words; nothing runs."""
    group: Any = get_command(app)
    command = group.commands[words[0]]
    command.make_context(words[0], words[1:])


def test_the_linter_has_nothing_to_say_of_the_dockerfile() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_the_command_and_not_run_by_root() -> None:
    last = dict(instructions())
    assert last["USER"].isdecimal()
    assert int(last["USER"]) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["hdap"]
    assert last["FROM"].endswith("-slim")


def test_the_image_installs_extras_that_there_are() -> None:
    extras = re.findall(r'"\.\[([a-z,]+)\]"', (ROOT / "Dockerfile").read_text())[0].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])


def test_what_compose_starts_is_a_command_of_ours() -> None:
    watch = COMPOSE["services"]["watch"]
    understood(watch["command"])
    place, port = watch["command"][1], watch["command"][3]
    assert any(volume.endswith(f":{place}") for volume in watch["volumes"])
    assert watch["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert watch["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert watch["environment"]["HDAP_DB"].startswith("postgresql://hdap@postgres/")
    assert set(COMPOSE["volumes"]) == {"postgres"}


def test_the_examples_of_the_page_are_commands_of_ours() -> None:
    job = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    understood(container["args"])
    commands = re.findall(r"(?<!exec )\bhdap ((?:watch|prune-history) .*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 6
    for line in commands:
        understood(shlex.split(line))


@pytest.mark.parametrize("name", ["tests", ".git", ".venv"])
def test_what_an_image_does_not_need_is_not_sent_to_the_daemon(name: str) -> None:
    assert name in (ROOT / ".dockerignore").read_text().splitlines()
