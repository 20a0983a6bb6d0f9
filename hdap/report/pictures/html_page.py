"""The page itself: one file with everything in it, whatever is in the data shown and never run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Protocol, TypeVar

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined

from hdap.fleet_data.errors import HdapError, StoreError
from hdap.report.pictures.explained_words import FirstUses
from hdap.report.pictures.looks import DARK, LIGHT, PAGE, Look
from hdap.workflows.decision import ShippingDecision
from hdap.workflows.text_cells import TextTable

T = TypeVar("T")

TEMPLATE = "page.html.j2"
MOST_ROWS = 50
"""Rows of a table; a longer one says so. A page of a huge fleet stays one that can be sent."""


class Drawing(Protocol):
    """What a page shows of a figure."""

    @property
    def name(self) -> str: ...

    def spec(self, width: int | str, words: bool) -> dict[str, Any]:
        """Its Vega-Lite specification."""


Part = str | TextTable | Drawing


@dataclass
class Chapter:
    """One chapter of a page: sentences, pictures and tables in the order in which they were added.

    What could not be shown is in `missing`: why, and what to do first.
    """

    name: str
    title: str
    parts: list[Part] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def figures(self) -> list[Drawing]:
        """The pictures alone."""
        return [part for part in self.parts if not isinstance(part, str | TextTable)]

    @property
    def tables(self) -> list[TextTable]:
        """The tables alone."""
        return [part for part in self.parts if isinstance(part, TextTable)]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read in it but why."""
        return not self.parts and not self.commands

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

    def tabulate(
        self,
        title: str,
        heads: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        newest_last: bool = False,
    ) -> None:
        """Add a table unless it has no rows; of a long one its first rows, or its newest."""
        shown = rows[-MOST_ROWS:] if newest_last else rows[:MOST_ROWS]
        if len(shown) < len(rows):
            which = "newest" if newest_last else "first"
            title = f"{title}, the {which} {len(shown):,} of {len(rows):,}"
        if shown:
            self.parts.append(TextTable(title, tuple(heads), tuple(map(tuple, shown))))


def report_page(
    title: str, decision: ShippingDecision, sections: Sequence[Chapter], *, simulated: bool
) -> str:
    """The report as one HTML document that opens without a network: the decision, then chapters.

    Chapters that hold nothing share one line at its end.
    """
    return _page(title, decision, sections, simulated)


def figure_page(title: str, figure: Drawing, *, simulated: bool) -> str:
    """One picture as such a document."""
    return _page(title, None, [Chapter(figure.name, title, [figure])], simulated)


def _page(
    title: str, decision: ShippingDecision | None, sections: Sequence[Chapter], simulated: bool
) -> str:
    figures = [figure for section in sections for figure in section.figures]
    specs = {figure.name: figure.spec(width="container", words=False) for figure in figures}
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            title=title,
            decision=decision,
            sections=[section for section in sections if not section.empty],
            empty=[section for section in sections if section.empty],
            first_uses=FirstUses(),
            simulated=simulated,
            made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            version=version("hdap"),
            light=variables(LIGHT),
            dark=variables(DARK),
            data=script_json({"config": PAGE.config(), "figures": specs}),
            library=_library() if figures else "",
        )
    )


def variables(look: Look) -> str:
    """A look as CSS custom properties."""
    named = {name: getattr(look, name) for name in ("ink", "quiet", "grid", "warning")}
    named["paper"] = look.background
    named |= {f"series-{i}": colour for i, colour in enumerate(look.series)}
    return ";".join(f"--{name}:{value}" for name, value in named.items())


def script_json(document: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element or begin another.

    Raises ValueError for NaN, which JSON does not know.
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _library() -> str:
    """Vega, Vega-Lite and vega-embed as one script; nothing in it closes a script element."""
    text: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub is wrong
    return text.replace("</script", "<\\/script")


@cache
def _environment() -> Environment:
    folder = files("hdap.report.pictures")
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
