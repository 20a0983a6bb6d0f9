"""Light, dark, and a page's own colours: a look is a Vega-Lite config, so that one chart has all.

Charts name roles, never colours. The colours are those of Okabe and Ito, "Color Universal Design"
(2008), lightened where they would vanish on a dark page; tens of clusters, which are numbered from
the fastest to the slowest, take viridis.
"""

from dataclasses import dataclass
from typing import Any

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


@dataclass(frozen=True)
class Look:
    """Colours as CSS understands them. `series` are told apart also by colour-blind readers."""

    name: str
    background: str
    ink: str
    quiet: str
    grid: str
    warning: str
    series: tuple[str, ...]

    def config(self) -> dict[str, Any]:
        """The Vega-Lite config; charts use its styles `quiet`, `strong`, `best` and `words`."""
        text: dict[str, Any] = {"labelColor": self.quiet, "titleColor": self.ink, "labelFont": FONT}
        text |= {"titleFont": FONT, "labelFontSize": 11, "titleFontSize": 12}
        return {
            "background": self.background,
            "font": FONT,
            "view": {"stroke": None},
            "axis": text
            | {"gridColor": self.grid, "domainColor": self.quiet, "tickColor": self.quiet}
            | {"titleFontWeight": "normal", "labelLimit": 150, "labelOverlap": True}
            | {"labelSeparation": 8},
            # a label at the edge is left out rather than cut off
            "axisX": {"labelBound": True},
            "legend": text
            | {"orient": "bottom", "titleFontWeight": "normal", "symbolSize": 90, "columns": 4}
            | {"symbolOpacity": 1, "symbolBaseFillColor": self.quiet}
            | {"symbolBaseStrokeColor": self.quiet},
            "title": {
                "anchor": "start",
                "color": self.ink,
                "fontSize": 16,
                "offset": 14,
                "subtitleColor": self.quiet,
                "subtitleFontSize": 12,
                "subtitleLineHeight": 16,
                "subtitlePadding": 6,
            },
            "range": {"category": list(self.series), "ordinal": {"scheme": "viridis"}},
            "line": {"strokeWidth": 2.5},
            "style": {
                "quiet": {"color": self.quiet},
                "strong": {"color": self.series[0]},
                "best": {"color": self.series[1]},
                "words": {"color": self.ink, "fontSize": 11, "font": FONT},
            },
        }


LIGHT = Look(
    name="light",
    background="#ffffff",
    ink="#1b1f24",
    quiet="#5c6670",
    grid="#e4e8ec",
    warning="#a03c00",
    series=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6f76", "#8f5a2a"),
)
DARK = Look(
    name="dark",
    background="#14181d",
    ink="#e8ebee",
    quiet="#a3adb8",
    grid="#2b323a",
    warning="#ff9d5c",
    series=("#56B4E9", "#FF8A3D", "#2BC79A", "#E29AC4", "#F0C04A", "#9DD3F5", "#b3bac2", "#c99a6b"),
)
# A browser looks these up where they are used, so a page changes its look without drawing again.
PAGE = Look(
    name="page",
    background="transparent",
    ink="var(--ink)",
    quiet="var(--quiet)",
    grid="var(--grid)",
    warning="var(--warning)",
    series=tuple(f"var(--series-{i})" for i in range(len(LIGHT.series))),
)
LOOKS = {look.name: look for look in (LIGHT, DARK)}
