"""One file out of a module and what it imports of hdap: made from packages that a test writes."""

import subprocess
import sys
from pathlib import Path

import pytest

from hdap.device.standalone import standalone

BELOW = '''
"""Below."""
import math
from dataclasses import dataclass
LIMIT = 2
UNUSED = 3
names: dict[str, int] = {"a": LIMIT}
class Base:
    """A base."""
@dataclass(frozen=True)
class Value(Base):
    x: float
    def root(self): return math.sqrt(self.x)
def unused(): return UNUSED
def value(): return Value(float(names["a"] * LIMIT))
'''
ABOVE = """
import os
from hdap.travelbelow import value
def told(): return f"{value().root():g} {os.path.basename('/a/b')}"
"""
MAIN = '''
"""The file."""
from __future__ import annotations
import sys

from hdap.travelabove import told
from hdap.travelbelow import Base

if __name__ == "__main__":
    print(told(), Base.__doc__)
    sys.exit(3)
'''


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import hdap

    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "travelbelow.py").write_text(BELOW)
    (folder / "travelabove.py").write_text(ABOVE)
    monkeypatch.setattr(hdap, "__path__", [*hdap.__path__, str(folder)])
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


def test_what_is_used_is_copied_whole_and_once_and_nothing_else(modules: Path) -> None:
    source = standalone(str(modules / "main.py"))
    (modules / "alone.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-I", "alone.py"], cwd=modules, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "2 b A base.\n", "")
    assert source.count("class Value") == source.count("import math\n") == 1
    assert "unused" not in source
    assert "UNUSED" not in source
    assert "import hdap" not in source


def test_two_definitions_of_one_name_are_refused(modules: Path) -> None:
    with (modules / "main.py").open("a") as file:
        file.write("\ndef value(): return 1\n")
    with pytest.raises(ValueError, match="two value"):
        standalone(str(modules / "main.py"))
