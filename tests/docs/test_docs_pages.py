import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

from hdap.cli import app
from hdap.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
GROUP: Any = get_command(app)


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The hook as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "scripts" / "docs_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_has_every_option_of_every_command(pages: ModuleType) -> None:
    text = pages.commands()
    sections = dict(part.split("\n", 1) for part in text.split("## hdap ")[1:])
    assert set(sections) == set(COMMANDS)
    for name in COMMANDS:
        command = pages._below(GROUP, name)
        options = [o for p in command.params if p.param_type_name == "option" for o in p.opts]
        assert [o for o in options if f"`{o}`" not in sections[name]] == []


def test_the_api_names_modules_that_are_there_and_leaves_none_out(pages: ModuleType) -> None:
    named = [
        line.removeprefix("::: ")
        for _, text in pages.api()
        for line in text.splitlines()
        if line.startswith("::: ")
    ]
    assert [n for n in named if importlib.util.find_spec(n) is None] == []
    shown = {name.removeprefix("api/").removesuffix(".md") for name, _ in pages.api()}
    assert {"search", "surrogate", "clustering", "fleet_data", "networks", "report"} <= shown


def test_every_schema_and_cell_is_on_its_page(pages: ModuleType) -> None:
    documents = pages.documents()
    for path in (ROOT / "docs" / "json").glob("*.json"):
        assert f"## hdap {path.stem}" in documents
    assert pages.notebook().startswith("# ")
    assert "fleet.search(" in pages.notebook()
