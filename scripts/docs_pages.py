"""Pages of the documentation that are made from the code, so that they cannot rot (a mkdocs hook).

commands.md from the application, api/ from the docstrings, json.md from docs/json and notebook.md
from the notebook.
"""

import ast
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = ("migrations", "measure")
"""Not for import: steps of the database, and the program that runs on a device."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    pages = {"commands.md": commands(), "json.md": documents(), "notebook.md": notebook()}
    pages |= dict(api())
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Every command with its options, as `--help` tells them."""
    from typer.main import get_command

    from hdap.cli import app
    from hdap.cli.app import COMMANDS

    group: Any = get_command(app)
    parts = ["# Commands\n\nEvery command also takes `-h`. Made from the application itself.\n"]
    every = {words: _below(group, words) for words in COMMANDS}
    told = [
        f"| `hdap {name}` | {_plain(c.help).partition(chr(10))[0]} |" for name, c in every.items()
    ]
    parts.append("\n".join(["| | |", "| --- | --- |", *told, ""]))
    parts.append(_options(group))
    for name, command in every.items():
        arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["hdap", name, *arguments, "[OPTIONS]"])
        text = _plain(command.help)
        parts.append(f"## hdap {name}\n\n    {usage}\n\n{text}\n\n{_options(command)}")
    return "\n".join(parts)


def _below(group: Any, words: str) -> Any:
    """The command that is typed so."""
    for word in words.split():
        group = group.commands[word]
    return group


def _options(command: Any) -> str:
    rows = []
    for p in command.params:
        if p.param_type_name == "argument":
            names = f"`{p.name.upper()}`"
        else:
            names = ", ".join(f"`{o}`" for o in (*p.opts, *p.secondary_opts))
        default = "" if p.default in (None, False, ()) or callable(p.default) else f"`{p.default}`"
        variable = f" (`{p.envvar}`)" if p.envvar else ""
        cells = [names, _cell(_plain(p.help or "")) + variable, "required" * p.required or default]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(["| | | default |", "| --- | --- | --- |", *rows, ""])


def _argument(parameter: Any) -> str:
    name = str(parameter.name).upper()
    return f"{name}..." if parameter.nargs == -1 else name


def _plain(text: str) -> str:
    return text.replace("[bold]", "**").replace("[/bold]", "**")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def documents() -> str:
    """The JSON of each command as a schema."""
    parts = [
        "# JSON\n\nWith `--json` a command prints one document on standard output and nothing else "
        "there. Documents that rest on simulated data say `simulated: true`. Each is described as "
        "[JSON Schema](https://json-schema.org); a test holds every command to it.\n"
    ]
    for path in sorted((ROOT / "docs" / "json").glob("*.json")):
        name = path.stem
        parts.append(f"## hdap {name}\n\n[{path.name}](json/{path.name})\n")
        parts.append(f"```json\n{path.read_text().strip()}\n```\n")
    return "\n".join(parts)


def notebook() -> str:
    """The notebook as a page: its cells, and what they printed."""
    cells = json.loads((ROOT / "docs" / "notebooks" / "fleet.ipynb").read_text())["cells"]
    parts = ["[The notebook itself](notebooks/fleet.ipynb)\n"]
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    first, *rest = parts[1:]
    return "\n\n".join([first, parts[0], *rest]) + "\n"


def api() -> Iterator[tuple[str, str]]:
    """A page a package, and one that lists them."""
    rows = []
    for folder in packages():
        modules = sorted(_modules(f"hdap.{folder.name}", folder))
        if not modules:
            continue
        told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        what = told.partition("\n")[0].rstrip(".")
        text = "\n\n".join(f"::: {module}" for module in modules)
        yield f"api/{folder.name}.md", f"# hdap.{folder.name}\n\n{what}.\n\n{text}\n"
        rows.append(f"| [hdap.{folder.name}]({folder.name}.md) | {what} |")
    top = [f"hdap.{p.stem}" for p in sorted((ROOT / "hdap").glob("[!_]*.py"))]
    if top:
        text = "\n\n".join(f"::: {m}" for m in top)
        yield "api/hdap.md", f"# hdap\n\nWhat `import hdap` offers.\n\n{text}\n"
        rows.insert(0, "| [hdap](hdap.md) | What `import hdap` offers |")
    yield "api/index.md", "# API\n\n| package | what |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def packages() -> list[Path]:
    """Folders of hdap whose modules are there to be imported: all but the command line."""
    found = sorted((ROOT / "hdap").iterdir())
    return [p for p in found if (p / "__init__.py").is_file() and p.name != "cli"]


def _modules(package: str, folder: Path) -> Iterator[str]:
    for module in pkgutil.iter_modules([str(folder)]):
        if module.name.startswith("_") or module.name in HIDDEN:
            continue
        if module.ispkg:
            yield from _modules(f"{package}.{module.name}", folder / module.name)
        else:
            yield f"{package}.{module.name}"
