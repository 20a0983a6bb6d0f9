import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("fleet_data", "clustering", "surrogate", "search")
EDGE_ONLY = {"torch", "torchvision", "timm", "torch_pruning", "typer", "rich"}
HEAVY = {"torch", "timm", "polars", "pyarrow", "sklearn", "xgboost", "optuna", "sqlalchemy"}
SQL = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
SQL_FOLDERS = {("fleet_data", "store"), ("fleet_data", "ingest")}


def _modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ORDER)
def test_a_lower_folder_imports_no_higher_one(folder: str) -> None:
    allowed = {f"hdap.{f}" for f in ORDER[: ORDER.index(folder) + 1]}
    wrong = [
        (path.name, name)
        for path in _modules(folder)
        for name in _imports(path)
        if name.split(".")[0] == "hdap" and ".".join(name.split(".")[:2]) not in allowed
    ]
    assert _modules(folder)
    assert wrong == []


@pytest.mark.parametrize("folder", ORDER)
def test_the_lower_folders_know_no_torch_and_no_terminal(folder: str) -> None:
    wrong = [
        (path.name, name)
        for path in _modules(folder)
        for name in _imports(path)
        if name.split(".")[0] in EDGE_ONLY
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ORDER)
def test_only_the_store_and_the_ingest_know_sql(folder: str) -> None:
    wrong = [
        (path.name, name)
        for path in _modules(folder)
        for name in _imports(path)
        if name.split(".")[0] in SQL and path.relative_to(ROOT).parts[:2] not in SQL_FOLDERS
    ]
    assert wrong == []


def test_importing_the_packages_and_the_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, hdap, hdap.cli, hdap.search, hdap.surrogate, hdap.clustering, hdap.fleet_data;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
