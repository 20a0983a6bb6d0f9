import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from hdap.fleet_data import plugins
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.plugins import Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry[int]:
    (tmp_path / "added_by_another.py").write_text("TEN = 10\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "added_by_another", raising=False)
    found = [
        EntryPoint("ten", "added_by_another:TEN", "hdap.numbers"),
        EntryPoint("broken", "added_by_another:ELEVEN", "hdap.numbers"),
        EntryPoint("one", "added_by_another:TEN", "hdap.numbers"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)
    return Registry("the number", "numbers", {"one": 1, "two": 2})


def test_own_names_come_first_and_cannot_be_taken(registry: Registry[int]) -> None:
    assert list(registry) == ["one", "two", "ten", "broken"]
    assert (registry["one"], registry["ten"], len(registry)) == (1, 10, 4)
    assert "ten" in registry
    assert "three" not in registry


def test_an_entry_point_is_imported_only_when_it_is_asked_for(registry: Registry[int]) -> None:
    assert "ten" in list(registry)
    assert "added_by_another" not in sys.modules
    assert registry["ten"] == 10
    assert "added_by_another" in sys.modules


def test_one_may_be_added_for_this_process_under_a_new_name(registry: Registry[int]) -> None:
    registry.add("three", 3)
    assert (registry["three"], len(registry)) == (3, 5)
    for taken in ("one", "ten"):
        with pytest.raises(InputError, match=f"a new name, but there is a '{taken}' already"):
            registry.add(taken, 4)


def test_an_unknown_name_is_answered_with_the_nearest(registry: Registry[int]) -> None:
    with pytest.raises(InputError, match=r"the number must be one of one, two, ten, broken.*`two`"):
        registry["tow"]


def test_an_entry_point_that_fails_is_one_line(registry: Registry[int]) -> None:
    with pytest.raises(InputError, match=r"the number 'broken' must be importable.*AttributeError"):
        registry["broken"]
