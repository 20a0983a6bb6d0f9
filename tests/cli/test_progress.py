"""A bar keeps to one line, and one that is full goes on until all is finished."""

from io import StringIO
from typing import Literal

import pytest
from rich.console import Console

from hdap.cli.terminal import output


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 80 columns whose frames can be read."""
    console = Console(file=StringIO(), force_terminal=True, width=80, legacy_windows=False)
    monkeypatch.setattr(output, "err", lambda: console)
    return console


def frame(
    console: Console,
    done: int,
    total: int | None,
    note: str = "",
    description: str = "ingest telemetry.csv",
    unit: Literal["bytes", "steps"] = "bytes",
) -> str:
    """What is drawn after one more call."""
    bar = output._bar(unit)
    task = bar.add_task(description, total=None, note="")
    output.advance(bar, task, done, total, note)
    with console.capture() as drawn:
        console.print(bar.get_renderable())
    return drawn.get()


@pytest.mark.parametrize(
    ("done", "total", "note", "description"),
    [
        (0, 76_834_515, "tracing resnet50", "ingest big.csv"),
        (11_111_111_111, 76_834_515_000, "", "ingest telemetry-of-all-devices-2026-11.csv"),
        (500, 2000, "best so far 12.34 ms (predicted)", "one network, or several"),
        (5, 2000, "tracing a_package.of_a_module:with_a_factory", "x" * 90),
    ],
)
def test_a_bar_is_one_line(
    terminal: Console, done: int, total: int, note: str, description: str
) -> None:
    drawn = frame(terminal, done, total, note, description)
    assert drawn.count("\n") == 1
    assert f"{100 * done // total} %" in drawn


def test_a_full_bar_says_that_the_rest_cannot_be_foretold(terminal: Console) -> None:
    drawn = frame(terminal, 10_000, 10_000)
    assert "finishing" in drawn
    assert "10.0 kB" in drawn
    assert "ETA" not in drawn
    assert "100 %" not in drawn
