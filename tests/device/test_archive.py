"""What travels: syntax and library of Python 3.9, and the files themselves."""

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hdap.device
from hdap.device.archive import PROGRAMS, program

ROOM = Path(hdap.device.__file__).parent
FILES = sorted(ROOM.rglob("*.py"))
NEWER = {"pairwise", "batched", "file_digest", "UTC", "aclosing", "bit_count", "ExceptionGroup"}
"""Names of the standard library that came after 3.9."""
NEWER_OPTIONS = {"strict", "slots", "kw_only"}
"""Of zip and dataclass, likewise."""


def _annotations(tree: ast.AST) -> list[ast.expr]:
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found.append(node.returns)
    return [x for x in found if x is not None]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOM)))
def test_a_file_of_the_room_runs_on_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    nodes = list(ast.walk(tree))
    assert not [n for n in nodes if isinstance(n, ast.Match | ast.TryStar)]
    names = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    names |= {n.id for n in nodes if isinstance(n, ast.Name)}
    names |= {a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
    assert names & NEWER == set()
    calls = [n for n in nodes if isinstance(n, ast.Call)]
    assert {k.arg for n in calls for k in n.keywords} & NEWER_OPTIONS == set()
    kinds = [n.args[1] for n in calls if isinstance(n.func, ast.Name) and n.func.id == "isinstance"]
    assert not [k for k in kinds if isinstance(k, ast.BinOp)]
    if any(isinstance(n, ast.BinOp) for x in _annotations(tree) for n in ast.walk(x)):
        assert "from __future__ import annotations" in path.read_text()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_holds_the_room_as_it_is_and_is_always_the_same(name: str) -> None:
    made = program(name)
    assert made == program(name)
    assert made.startswith(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        inside = {n for n in names if n.startswith("hdap/device/")}
        assert inside == {f"hdap/device/{p.relative_to(ROOM).as_posix()}" for p in FILES}
        for path in FILES:
            inner = f"hdap/device/{path.relative_to(ROOM).as_posix()}"
            assert archive.read(inner) == path.read_bytes()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert (ROOM / "switcher.py").read_bytes() in made  # readable without unpacking


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_imported_by_an_application_where_hdap_is_not(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / f"{name}.pyz").write_bytes(program(name))
    code = (
        f"import sys; sys.path.insert(0, '{name}.pyz');"
        "from hdap.device.controller import Controller, read_table;"
        "from hdap.device.switcher import Switcher, read_policy;"
        "from hdap.device.sessions import LevelSessions;"
        "print(sys.modules['hdap'].__file__, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"{name}.pyz" in done.stdout
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_tells_its_options(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.pyz").write_bytes(program(name))
    command = [sys.executable, "-I", f"{name}.pyz", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"usage: {name}.pyz" in done.stdout
