from dataclasses import replace
from pathlib import Path

import pytest

from hdap.fleet_data.errors import InputError
from hdap.requests.compression_request import CompressRequest
from hdap.requests.recipe import Recipe
from hdap.workflows.compression_journal import (
    FILE,
    Journal,
    StepEntry,
    read_journal,
    require_same,
)

REQUEST = CompressRequest("resnet50", "1.0G", "images", Recipe(), steps=2, weights="dense.pt")
ENTRY = StepEntry(1, "study", 7, 2_000, 3.0, 2.9, 3.1, 6.0, 0.9, 0.85, {"3": 0.7, "7": 0.85})
JOURNAL = Journal("run", REQUEST, True, "sqlite:///hdap.db", 0.91, (ENTRY,))


def test_a_journal_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_journal(tmp_path) is None
    JOURNAL.write(tmp_path / "out")
    assert read_journal(tmp_path / "out") == JOURNAL
    assert [file.name for file in (tmp_path / "out").iterdir()] == [FILE]
    require_same(JOURNAL, REQUEST)


def test_a_step_is_done_when_it_was_tuned() -> None:
    assert JOURNAL.done == 0
    later = JOURNAL.with_step(replace(ENTRY, accuracy_after=0.9, validation_accuracy=0.88))
    assert later.done == 1
    assert len(later.steps) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "steps": [{"x": 1}]}',
        '{"format": 1, "run": 5, "request": "oops"}',
    ],
)
def test_a_damaged_journal_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match="must be the journal of a compression"):
        read_journal(tmp_path)


@pytest.mark.parametrize(
    "other",
    [replace(REQUEST, steps=3), replace(REQUEST, recipe=Recipe(lr=0.5))],
    ids=["steps", "recipe"],
)
def test_another_request_is_named(other: CompressRequest, request: pytest.FixtureRequest) -> None:
    with pytest.raises(InputError, match=request.node.callspec.id):
        require_same(JOURNAL, other)
