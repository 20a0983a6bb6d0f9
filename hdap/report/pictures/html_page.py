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
from hdap.report.pictures.looks import DARK, LIGHT, PAGE, Look
from hdap.workflows.text_cells import TextTable

T = TypeVar("T")

TEMPLATE = "page.html.j2"


class Drawing(Protocol):
    """What a page shows of a figure."""

    @property
    def name(self) -> str: ...

    def spec(self, width: int | str, words: bool) -> dict[str, Any]:
        """Its Vega-Lite specification."""


@dataclass
class Chapter:
    """One chapter of a page. What could not be shown is in `missing`: why, and what to do first."""

    name: str
    title: str
    sentences: list[str] = field(default_factory=list)
    figures: list[Any] = field(default_factory=list)
    """Each a `Drawing`."""
    tables: list[TextTable] = field(default_factory=list)
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

    def tabulate(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table unless it has no rows."""
        if rows:
            self.tables.append(TextTable(title, tuple(heads), tuple(map(tuple, rows))))


def report_page(title: str, lead: str, sections: Sequence[Chapter], *, simulated: bool) -> str:
    """The report as one HTML document that opens without a network."""
    figures = [figure for section in sections for figure in section.figures]
    return _page(title, lead, sections, figures, simulated)


def figure_page(title: str, figure: Drawing, *, simulated: bool) -> str:
    """One picture as such a document."""
    section = Chapter(figure.name, title, figures=[figure])
    return _page(title, "", [section], [figure], simulated)


def _page(
    title: str,
    lead: str,
    sections: Sequence[Chapter],
    figures: Sequence[Drawing],
    simulated: bool,
) -> str:
    specs = {figure.name: figure.spec(width="container", words=False) for figure in figures}
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            title=title,
            lead=lead,
            sections=sections,
            single=len(sections) == 1,
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
