"""What stands beside a bar: how much is done, and how long the rest takes, once either is known."""

from collections.abc import Callable

from rich.filesize import decimal
from rich.progress import ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text


class Amount(ProgressColumn):
    """`12 % 1.2 MB/9.8 MB`; without a total what is done, and nothing while that is nothing."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._written: Callable[[int], str] = decimal if unit == "bytes" else "{:,}".format

    def render(self, task: Task) -> Text:
        """The text of the column."""
        done = int(task.completed)
        if task.total is None:
            return Text(self._written(done) if done else "")
        amount = f"{self._written(done)}/{self._written(int(task.total))}"
        return Text(f"{task.percentage:3.0f} % {amount}")


class Left(TimeRemainingColumn):
    """`ETA 0:00:12`, and nothing where that is a guess."""

    def render(self, task: Task) -> Text:
        """The text of the column."""
        unknown = task.total is None or task.time_remaining is None
        return Text("") if unknown else Text("ETA ").append_text(super().render(task))
