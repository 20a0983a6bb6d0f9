"""What a report is made of: sections of sentences, figures and tables, and what is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hdap.fleet_data.errors import HdapError, StoreError
from hdap.report.pictures.html_page import ReportTable, Section
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import PICTURES

T = TypeVar("T")


@dataclass
class Chapter(Section):
    """A section that is filled from a database."""

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

    def draw(self, source: PictureSource, *kinds: str) -> None:
        """Add pictures as far as the database holds what they show."""
        for kind in kinds:
            figure = self.attempt(lambda kind=kind: PICTURES[kind].figure(source))  # type: ignore[misc]
            if figure is not None:
                self.figures.append(figure)

    def tabulate(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table unless it has no rows."""
        if rows:
            self.tables.append(ReportTable(title, tuple(heads), tuple(map(tuple, rows))))


def latency(value: float) -> str:
    """Milliseconds for a cell; NaN as a dash."""
    return f"{value:.2f} ms" if value == value else "-"


def interval(low: float, high: float) -> str:
    """Ends of an interval for a cell; NaN as a dash."""
    return f"{low:.2f}-{high:.2f}" if low == low and high == high else "-"


def share(value: float, digits: int = 0) -> str:
    """A fraction as a percentage for a cell; NaN as a dash."""
    return f"{100 * value:.{digits}f} %" if value == value else "-"
