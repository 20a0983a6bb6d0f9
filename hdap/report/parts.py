"""What a report is made of: sections of sentences, figures and tables, and what is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hdap.fleet_data.errors import HdapError, StoreError
from hdap.plots.figure import Figure
from hdap.plots.registry import PICTURES
from hdap.plots.source import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Cells are plain text; a head that ends in `|` aligns its column to the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass
class Section:
    """One chapter. What could not be shown is in `missing`: why, and what to do first."""

    name: str
    title: str
    sentences: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def attempt(self, make: Callable[[], T]) -> T | None:
        """What `make` gives; None where the database does not hold it yet, which is noted once.

        A database that fails is no such case: StoreError passes.
        """
        try:
            return make()
        except StoreError:
            raise
        except HdapError as error:
            if str(error) not in self.missing:
                self.missing.append(str(error))
            return None

    def draw(self, source: Source, *kinds: str) -> None:
        """Add pictures as far as the database holds what they show."""
        for kind in kinds:
            figure = self.attempt(lambda kind=kind: PICTURES[kind].figure(source))  # type: ignore[misc]
            if figure is not None:
                self.figures.append(figure)

    def tabulate(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table unless it has no rows."""
        if rows:
            self.tables.append(Table(title, tuple(heads), tuple(map(tuple, rows))))


def latency(value: float) -> str:
    """Milliseconds for a cell; NaN as a dash."""
    return f"{value:.2f} ms" if value == value else "-"


def interval(low: float, high: float) -> str:
    """Ends of an interval for a cell; NaN as a dash."""
    return f"{low:.2f}-{high:.2f}" if low == low and high == high else "-"


def share(value: float, digits: int = 0) -> str:
    """A fraction as a percentage for a cell; NaN as a dash."""
    return f"{100 * value:.{digits}f} %" if value == value else "-"
