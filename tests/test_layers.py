import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = (
    "hdap.fleet_data",
    "hdap.clustering",
    "hdap.surrogate.training_data",
    "hdap.surrogate.context",
    "hdap.surrogate.learning",
    "hdap.surrogate.models",
    "hdap.surrogate",
    "hdap.search.problem",
    "hdap.search.exact",
    "hdap.search.samplers",
    "hdap.search",
    "hdap.image_files",
    "hdap.examples",
    "hdap.simulation",
    "hdap.requests",
    "hdap.device",
    "hdap.remote",
    "hdap.serving",
    "hdap.networks",
    "hdap.training",
    "hdap.elastic",
    "hdap.portfolio",
    "hdap.workflows",
    "hdap.report.pictures",
    "hdap.report",
    "hdap.found",
    "hdap.api",
    "hdap",
    "hdap.cli.terminal",
    "hdap.cli.options",
    "hdap.cli.settings",
    "hdap.cli.tables",
    "hdap.cli.commands",
    "hdap.cli",
    "hdap.__main__",
)
"""Every room, lower ones first: a file imports only from its own room and from lower ones."""
FOLDERS = ("fleet_data", "clustering", "surrogate", "search")
EDGE_ONLY = {"torch", "torchvision", "timm", "typer", "rich"}
HEAVY = {"torch", "timm", "polars", "pyarrow", "sklearn", "xgboost", "optuna", "sqlalchemy"}
SQL = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
SQL_FOLDERS = {("fleet_data", "store"), ("fleet_data", "ingest")}
AT_THE_ROOT = {"__init__.py", "__main__.py", "api.py", "found.py"}


@cache
def _modules() -> dict[str, Path]:
    """Every module of the product by its name; the links in hdap/ are not followed."""
    found = {}
    for folder in (*FOLDERS, "hdap"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if folder == "hdap" and parts[1] in FOLDERS:
                continue
            parts = parts if folder == "hdap" else ["hdap", *parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _edges() -> dict[str, set[str]]:
    """Which modules each module imports, for types and inside functions too."""
    modules = _modules()
    edges: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for wanted in _imports(path):
            target = wanted if wanted in modules else wanted.rpartition(".")[0]
            if target in modules and target != name:
                edges[name].add(target)
    return edges


def _room(module: str) -> str:
    return max((r for r in ORDER if f"{module}.".startswith(f"{r}.")), key=len)


def _folder(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_imports_run_in_one_direction_through_all_rooms() -> None:
    wrong = [
        (name, target)
        for name, targets in _edges().items()
        for target in targets
        if ORDER.index(_room(target)) > ORDER.index(_room(name))
    ]
    assert wrong == []


def test_every_folder_of_hdap_is_a_room_and_no_glue_lies_at_its_root() -> None:
    listed = {room.split(".")[1] for room in ORDER if "." in room}
    here = {p.name for p in (ROOT / "hdap").iterdir() if (p / "__init__.py").exists()}
    assert here <= listed
    assert {p.name for p in (ROOT / "hdap").glob("*.py")} <= AT_THE_ROOT


def test_no_files_import_each_other_in_a_circle() -> None:
    edges, state, circles = _edges(), dict[str, int](), list[list[str]]()

    def visit(name: str, path: list[str]) -> None:
        state[name] = 1
        for target in sorted(edges[name]):
            if state.get(target) == 1:
                circles.append([*path[path.index(target) :], target])
            elif target not in state:
                visit(target, [*path, target])
        state[name] = 2

    for name in sorted(edges):
        if name not in state:
            visit(name, [name])
    assert circles == []


def test_no_two_files_of_the_product_share_a_name() -> None:
    names = Counter(path.name for path in _modules().values())
    twice = {n for n, count in names.items() if count > 1}
    assert twice <= {"__init__.py", "registry.py", "base.py"}


def test_no_two_public_classes_share_a_name() -> None:
    names = Counter(
        node.name
        for path in _modules().values()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [n for n, count in names.items() if count > 1] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_lower_folders_know_no_torch_and_no_terminal(folder: str) -> None:
    wrong = [
        (path.name, name)
        for path in _folder(folder)
        for name in _imports(path)
        if name.split(".")[0] in EDGE_ONLY
    ]
    assert _folder(folder)
    assert wrong == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_the_store_and_the_ingest_know_sql(folder: str) -> None:
    wrong = [
        (path.name, name)
        for path in _folder(folder)
        for name in _imports(path)
        if name.split(".")[0] in SQL and path.relative_to(ROOT).parts[:2] not in SQL_FOLDERS
    ]
    assert wrong == []


def test_what_travels_to_devices_needs_only_itself_numpy_and_a_runtime() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "onnxruntime"}
    wrong = [
        (path.name, name)
        for path in _folder("hdap/device")
        for name in _imports(path)
        if name.split(".")[0] not in allowed and not name.startswith("hdap.device.")
    ]
    assert _folder("hdap/device")
    assert wrong == []


def test_importing_the_packages_and_the_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, hdap, hdap.cli, hdap.search, hdap.surrogate, hdap.clustering, hdap.fleet_data;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
