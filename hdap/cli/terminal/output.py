"""What the terminal shows: tables, messages, progress bars and JSON.

Results go to standard output, everything about the way there to standard error, so that a pipe
carries results alone. Progress bars appear only where standard error is a terminal.
"""

import json
import logging
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hdap.cli.terminal.layout import Head, Justify, lay_out
from hdap.cli.terminal.streams import write

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")
MARK = "simulated data"
LOG_WIDTH = 160
"""Off a terminal: a table in a log must not wrap at 80 columns."""
LEAST_WIDTH = 20
QUIET, USUAL, VERBOSE = range(3)
_simulated: ContextVar[bool | None] = ContextVar("simulated", default=None)
_level: ContextVar[int] = ContextVar("level", default=USUAL)
_began: ContextVar[float] = ContextVar("began", default=0.0)


@cache
def _console(stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, emoji=False)  # `:ab:` is part of a name


def out() -> Console:
    """Standard output."""
    return _sized(_console(False), sys.stdout)


def err() -> Console:
    """Standard error."""
    return _sized(_console(True), sys.stderr)


def can_ask() -> bool:
    """Whether somebody sits at a terminal who can be asked."""
    return sys.stdin.isatty() and err().is_terminal


def _sized(console: Console, stream: TextIO) -> Console:
    if not stream.isatty():
        console.width = _asked_width() or LOG_WIDTH
    return console


def _asked_width() -> int:
    """What COLUMNS asks for; 0 where it asks for nothing."""
    asked = os.environ.get("COLUMNS", "")
    return max(int(asked), LEAST_WIDTH) if asked.isdecimal() and int(asked) else 0


def _whole_lines() -> bool:
    """Whether lines stay whole: in a log, where nobody said how wide a page is."""
    return not out().is_terminal and not _asked_width()


def leave_it_to_others() -> None:
    """This process, one of several that do one job, prints nothing from now on but errors."""
    out().quiet = err().quiet = True


def set_verbosity(level: int) -> None:
    """How much is told from now on: results and warnings (QUIET), steps too, their times too."""
    _level.set(level)
    _began.set(time.monotonic())
    logging.getLogger("hdap").handlers = [_Warnings(logging.WARNING)]


def quiet() -> bool:
    """Whether results alone are printed."""
    return _level.get() == QUIET


def verbose() -> bool:
    """Whether everything is told."""
    return _level.get() == VERBOSE


def report_usage() -> None:
    """Where all is told: how long it took since `set_verbosity`, and how much memory."""
    if _level.get() < VERBOSE:
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mib = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    say(f"done, {mib:,.0f} MiB of memory at most")


def say(message: str) -> None:
    """One line about what is being done, on standard error."""
    if _level.get() == QUIET:
        return
    at = f"{time.monotonic() - _began.get():.2f} s " if _level.get() == VERBOSE else ""
    err().print(f"[dim]· {at}[/dim]{escape(message)}", soft_wrap=True)


def warn(message: str) -> None:
    """One line that a person should read, on standard error."""
    err().print(f"[yellow]warning:[/yellow] {escape(message)}", soft_wrap=True)


class _Warnings(logging.Handler):
    """What code that knows no terminal warns of, each line once."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._shown = set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            warn(message)


def error_line(message: str) -> None:
    """One line that ends a command, on standard error."""
    one_line = " ".join(message.split())
    err().quiet = False
    err().print(f"[red]error:[/red] {escape(one_line)}", soft_wrap=True)


def mark_simulated(*, simulated: bool | None) -> None:
    """Say whether what is printed from now on rests on simulated data; None: on no data at all."""
    _simulated.set(simulated)


def is_marked() -> bool:
    """Whether what is printed says that it rests on simulated data."""
    return bool(_simulated.get())


def line(text: str, *, markup: bool = False) -> None:
    """One line of results on standard output, marked where it rests on simulated data."""
    mark = f" ({MARK})" if _simulated.get() else ""
    note(f"{text}{mark}", markup=markup)


def note(text: str, *, markup: bool = False) -> None:
    """One line on standard output that rests on no figures: where a file lies, what to do."""
    out().print(text, markup=markup, soft_wrap=_whole_lines())


def table(
    columns: Sequence[Head],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    optional: Sequence[str] = (),
) -> None:
    """A table on standard output; cells are plain text.

    Its title says so where it rests on simulated data. On a narrow terminal heads wrap, then the
    table is turned over, then `optional` columns are left out, the first named first.
    """
    if _simulated.get():
        title = f"{title} ({MARK})" if title else MARK
    fitted = lay_out(columns, rows, out().width, optional)
    titled = any(name for name, _ in columns)
    result = Table(
        header_style="bold",
        show_header=titled,
        box=box.SIMPLE_HEAD if titled else box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for (name, justify), width in zip(fitted.heads, fitted.widths, strict=True):
        result.add_column(escape(name), justify=justify, overflow="fold", width=width)
    for row in fitted.rows:
        result.add_row(*(escape(cell) for cell in row))
    if title:
        # not rich's own title, which is folded to the width of the table
        out().print(f"[bold]{escape(title)}[/bold]")
    out().print(result)
    if fitted.left_out:
        names = ", ".join(fitted.left_out)
        out().print(f"[dim]no room for: {escape(names)}[/dim]")
    out().print()


def show_rows(
    rows: Sequence[T],
    *columns: tuple[str, Justify, Callable[[T], str]],
    title: str | None = None,
    optional: Sequence[str] = (),
) -> None:
    """A table with a line for each of `rows`: each column has a head, a side and what makes a cell
    of a row. See `table`. Where there are none, their title says so."""
    if not rows:
        if title:
            line(f"{title}: none")
        return
    cells = [[cell(row) for _, _, cell in columns] for row in rows]
    table([(head, side) for head, side, _ in columns], cells, title, optional)


def emit_json(document: Any, *, marked: bool = True) -> None:
    """One JSON document on standard output; NaN becomes null, times ISO 8601.

    An object, or each object of a list, says `simulated` true or false where it rests on data of
    the fleet; not so with `marked` false.
    """
    if out().quiet:
        return
    simulated = _simulated.get()
    plain = _plain(document)
    if marked and simulated is not None:
        for part in plain if isinstance(plain, list) else [plain]:
            part.setdefault("simulated", simulated)
    write(json.dumps(plain, indent=2, allow_nan=False) + "\n")


def emit_event(document: Any) -> None:
    """One JSON object on a line of standard output, at once; as `emit_json` else."""
    event = _plain(document)
    if _simulated.get() is not None:
        event.setdefault("simulated", _simulated.get())
    write(json.dumps(event, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Decimal):  # PostgreSQL's sums and averages
        whole = value.is_finite() and value == value.to_integral_value()
        value = int(value) if whole else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


@contextmanager
def progress_bar(
    description: str, unit: Literal["bytes", "steps"] = "steps"
) -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar on standard error, with a percentage and an ETA; call with (done, total, note).

    Once all is done what is left cannot be foretold: the bar runs on without an end. Nothing is
    drawn where standard error is not a terminal.
    """
    bar = _bar(unit)
    with bar:
        task = bar.add_task(description, total=None, note="")

        def update(done: int, total: int | None, note: str = "") -> None:
            advance(bar, task, done, total, note)

        yield update


def advance(bar: "Progress", task: "TaskID", done: int, total: int | None, note: str) -> None:
    """One more step of a bar."""
    if total and done >= total:
        # a task that is complete would stand still, at an ETA of nothing
        total, note = None, note or "finishing"
    bar.tasks[task].total = total  # `update` takes no None for what it is
    bar.update(task, completed=done, note=note)


def _bar(unit: str) -> "Progress":
    from rich.progress import BarColumn, Progress

    from hdap.cli.terminal.progress_columns import Amount, Elapsed, Left, Words

    return Progress(
        Words(),
        BarColumn(bar_width=30),
        Amount(unit),
        Elapsed(),
        Left(),
        Words("note"),
        console=err(),
        transient=True,
        disable=_level.get() == QUIET or not err().is_terminal or err().quiet,
    )
