"""What a picture shows: a record whose columns know their title, unit and format."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import altair as alt
import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Ints

DIGITS = 5


@dataclass(frozen=True)
class Shown:
    """How a column is shown: `title` with its unit, on axes and on hover (else the field's name;
    `{other}` in it is the record's field of that name), `format` of d3 on hover. `scale` is Vega's
    type where it is not that of the values; what is not for people has no `hover`."""

    title: str = ""
    format: str = ""
    scale: str = ""
    hover: bool = True


Cluster = Annotated[Ints, Shown(scale="O")]
Text = NDArray[Any]
Silent = Shown(hover=False)


@dataclass(frozen=True, eq=False)
class View:
    """Fields that are `Shown` are columns of n values each, all others are of the whole picture.

    Rows for a chart, axes and what a mark says on hover follow from them.
    """

    def chart(self) -> alt.Chart:
        """A chart whose rows are the columns."""
        return chart(**{name: getattr(self, name) for name in _columns(type(self))})

    def x(self, name: str, **more: Any) -> alt.X:
        """An axis for a column."""
        return alt.X(**self._channel(name) | more)

    def y(self, name: str, **more: Any) -> alt.Y:
        """An axis for a column."""
        return alt.Y(**self._channel(name) | more)

    def title(self, name: str) -> str:
        """What a column's axis is called."""
        return _columns(type(self))[name].title.format(**vars(self)) or name

    def hover(self, *names: str) -> list[alt.Tooltip]:
        """What a mark says of these columns; of all that are for people by default."""
        columns = _columns(type(self))
        told = names or [name for name, shown in columns.items() if shown.hover]
        formats = {n: {"format": columns[n].format} if columns[n].format else {} for n in told}
        return [alt.Tooltip(**self._channel(name) | formats[name]) for name in told]

    def _channel(self, name: str) -> dict[str, Any]:
        shown = _columns(type(self))[name]
        scale = shown.scale or ("N" if getattr(self, name).dtype.kind in "OUb" else "Q")
        return {"shorthand": f"{name}:{scale}", "title": self.title(name)}


def _columns(view: type[View]) -> dict[str, Shown]:
    hints = get_type_hints(view, include_extras=True)
    marks = {n: get_args(hint)[1:] for n, hint in hints.items() if get_origin(hint) is Annotated}
    return {n: mark for n, of in marks.items() for mark in of if isinstance(mark, Shown)}


def gathered(records: Iterable[Any], *names: str) -> list[NDArray[Any]]:
    """Attributes of n records as columns."""
    rows = list(records)
    return [np.array([getattr(row, name) for row in rows]) for name in names]


def chart(**columns: Any) -> alt.Chart:
    """A chart of columns of n values; floats to five digits, NaN as nothing."""
    plain = [_plain(np.asarray(values)) for values in columns.values()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)]
    return alt.Chart(alt.InlineData(values=rows))


def _plain(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind != "f":
        return [str(v) for v in values] if values.dtype.kind in "OU" else list(values.tolist())
    return [float(f"{v:.{DIGITS}g}") if np.isfinite(v) else None for v in values.tolist()]


def layered(*layers: alt.Chart, height: float) -> alt.LayerChart:
    """One view of charts on top of each other, `height` points high."""
    made = alt.layer(*layers)
    assert isinstance(made, alt.LayerChart)
    return made.properties(height=height)


def named_line(y: str, value: float, name: str, style: str = "best") -> list[alt.Chart]:
    """A dashed line at a value of `y` (a shorthand), with its name above its right end."""
    base = chart(**{y.partition(":")[0]: [value], "name": [name]}).encode(y=y)
    return [
        base.mark_rule(style=style, strokeDash=[6, 4], strokeWidth=1.5),
        base.mark_text(align="right", dy=-7, style="words").encode(
            x=alt.value("width"), text="name:N"
        ),
    ]
