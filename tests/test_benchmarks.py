"""Benchmarks are run by hand; that each can begin is tested: its imports and folders are there."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "benchmarks").rglob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_begin(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module(name)
    found = {n: v for n, v in vars(module).items() if n.isupper() and isinstance(v, Path)}
    assert [n for n, path in found.items() if not path.exists()] == []


def test_scripts_that_a_benchmark_starts_are_there() -> None:
    for path in (ROOT / "benchmarks").rglob("*.py"):
        for _, _, after in (line.partition("with_name(") for line in path.read_text().splitlines()):
            name = after.partition(")")[0].strip('"')
            if name.endswith(".py"):
                assert path.with_name(name).exists(), f"{path.name}: {name}"
