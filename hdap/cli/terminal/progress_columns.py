"""What stands beside a bar: what is done, how much of it, and how long the rest takes.

All of it stays in one line: a bar of two lines jumps. Texts and the bar give way, figures do not.
"""

from collections.abc import Callable

from rich.filesize import decimal
from rich.progress import ProgressColumn, Task, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


def _whole() -> Column:
    return Column(no_wrap=True)


class Words(ProgressColumn):
    """The description of a task, or one of its fields; cut where there is no room."""

    def __init__(self, field: str = "") -> None:
        super().__init__()
        self._field = field

    def render(self, task: Task) -> Text:
        """The text of the column."""
        words = str(task.fields[self._field]) if self._field else task.description
        return Text(words, no_wrap=True, overflow="ellipsis")


class Amount(ProgressColumn):
    """`12 % 1.2 MB/9.8 MB`; without a total what is done, and nothing while that is nothing."""

    def __init__(self, unit: str) -> None:
        super().__init__(_whole())
        self._written: Callable[[int], str] = decimal if unit == "bytes" else "{:,}".format

    def render(self, task: Task) -> Text:
        """The text of the column."""
        done = int(task.completed)
        if task.total is None:
            return Text(self._written(done) if done else "")
        amount = f"{self._written(done)}/{self._written(int(task.total))}"
        return Text(f"{task.percentage:3.0f} % {amount}")


class Elapsed(TimeElapsedColumn):
    """`0:00:12` since the start."""

    def __init__(self) -> None:
        super().__init__(_whole())


class Left(TimeRemainingColumn):
    """`ETA 0:00:12`, and nothing where that is a guess."""

    def __init__(self) -> None:
        super().__init__(table_column=_whole())

    def render(self, task: Task) -> Text:
        """The text of the column."""
        unknown = task.total is None or task.time_remaining is None
        return Text("") if unknown else Text("ETA ").append_text(super().render(task))
