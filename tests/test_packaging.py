import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("clustering", "fleet_data", "search", "surrogate")


def test_every_package_folder_is_listed_in_pyproject() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    found = {_package(p.parent) for f in FOLDERS for p in (ROOT / f).rglob("__init__.py")}
    own = {
        _package(p.parent)
        for p in (ROOT / "hdap").rglob("__init__.py")
        if p.relative_to(ROOT / "hdap").parts[0] not in FOLDERS
    }
    assert set(listed) == found | own


def _package(folder: Path) -> str:
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "hdap" else ("hdap", *parts))


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_in_hdap_lead_to_the_folders_at_the_root(folder: str) -> None:
    assert (ROOT / "hdap" / folder).resolve() == ROOT / folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imported_by_its_bare_name_says_what_to_import(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True
    )
    assert f"import hdap.{folder}, not {folder}" in done.stderr
