"""A figure: a chart with its sentence, which can be written, and shown in a notebook."""

import textwrap
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import altair as alt
import numpy as np
import vl_convert
from altair.utils.schemapi import debug_mode

from hdap.fleet_data.atomic_files import require_place_of, writable
from hdap.fleet_data.errors import InputError
from hdap.report.pictures.html_page import figure_page
from hdap.report.pictures.looks import LIGHT, Look
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import View

D = TypeVar("D", bound=View)
WIDTH = 700
"""Of a picture in a file, in points; in a report a picture is as wide as the page."""
SCALE = 2.0
SIMULATED = "SIMULATED DATA: measured on no device"
MOST_POINTS = 5000
"""Points of a picture; of more a sample is drawn, and the figure says so."""


@dataclass(frozen=True, eq=False)
class Figure:
    """`says` is the one sentence that tells what to see, `notes` what was left out."""

    name: str
    title: str
    says: str
    chart: alt.LayerChart
    simulated: bool
    notes: tuple[str, ...] = ()

    def spec(self, width: int | str = WIDTH, words: bool = True) -> dict[str, Any]:
        """The Vega-Lite specification, with title and sentence unless `words` is false.

        That the data is simulated stands in the picture either way.
        """
        with debug_mode(False):
            spec: dict[str, Any] = self.chart.properties(width=width).to_dict(validate=False)
        spec.pop("config", None)
        spec["autosize"] = {"type": "fit-x", "contains": "padding"}
        told = textwrap.wrap(" ".join([self.says, *self.notes]), 105) if words else []
        marked = [SIMULATED] if self.simulated else []
        if words:
            spec["title"] = {"text": self.title, "subtitle": [*marked, *told]}
        elif marked:
            spec["title"] = {"text": SIMULATED, "fontSize": 11}
        return spec

    def svg(self, look: Look = LIGHT) -> str:
        """The picture as SVG."""
        drawn: str = vl_convert.vegalite_to_svg(self.spec(), config=look.config())
        return drawn

    def png(self, look: Look = LIGHT) -> bytes:
        """The picture as PNG, twice as fine as on a page."""
        drawn: bytes = vl_convert.vegalite_to_png(self.spec(), config=look.config(), scale=SCALE)
        return drawn

    def write(self, path: Path, look: Look = LIGHT) -> None:
        """Write a .png, .svg or .html (which opens offline); the suffix decides.

        Raises InputError for another suffix or a place that cannot be written.
        """
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"a picture must end in {', '.join(SUFFIXES)}, but got {path.name!r}: rename it"
            )
        require_place_of(path)
        if suffix == ".png":
            drawn = self.png(look)
        elif suffix == ".svg":
            drawn = self.svg(look).encode()
        else:
            drawn = figure_page(self.title, self, simulated=self.simulated).encode()
        with writable(path):
            path.write_bytes(drawn)

    def _repr_svg_(self) -> str:
        return self.svg()


SUFFIXES = (".png", ".svg", ".html")


class Picture(ABC, Generic[D]):
    """One kind of picture.

    `prepare` reads what is shown as a frozen record of plain numbers and loads no torch; it raises
    NotEnoughDataError, saying what to do first, where the database does not hold it. `draw` turns
    that into one layered view (no views side by side: the page decides its width) whose axes carry
    units and whose marks name what they stand for on hover, as the record's columns say. `says` is
    one sentence on what to see, with the figures of this data; predicted numbers are called
    predicted. All are pure: the same data gives the same picture.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def prepare(self, source: PictureSource) -> D:
        """What the picture shows."""

    @abstractmethod
    def says(self, data: D) -> str:
        """One sentence: what to see."""

    @abstractmethod
    def draw(self, data: D) -> alt.LayerChart:
        """The chart."""

    def notes(self, data: D) -> tuple[str, ...]:
        """What was left out of the picture."""
        return ()

    def figure(self, source: PictureSource) -> Figure:
        """Prepared and drawn."""
        data = self.prepare(source)
        # Altair compares every part with Vega-Lite's schema, for seconds a report: a test does so.
        with debug_mode(False):
            drawn = self.draw(data)
        return Figure(
            self.name,
            self.title,
            self.says(data),
            drawn,
            source.simulated,
            self.notes(data),
        )


def sampled(count: int, keep: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows to draw, ascending: at most `MOST_POINTS` of `count`, those to `keep` (bool) first."""
    if count <= MOST_POINTS:
        return np.arange(count)
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(keep)[:MOST_POINTS]
    left = np.ones(count, dtype=np.bool_)
    left[kept] = False
    others = np.flatnonzero(left)
    picked = rng.choice(others, min(MOST_POINTS - len(kept), len(others)), replace=False)
    return np.sort(np.concatenate([kept, picked]))


def sample_note(shown: int, count: int, what: str) -> tuple[str, ...]:
    """The note on a sample; none where everything is shown."""
    return (f"{shown:,} of {count:,} {what} are drawn.",) if shown < count else ()
