"""How much measuring buys: held-out error against measurements a cluster."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.records import Floats, Ints, SurrogateRecord
from hdap.fleet_data.wording import percent
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, View, gathered, layered, named_line


@dataclass(frozen=True, eq=False)
class LearningView(View):
    """`rows` measurements of pruned networks a cluster (S) against the mean held-out `error` (S),
    the mean over random splits; `noise` is the error of a perfect surrogate."""

    rows: Annotated[Ints, Shown("measurements of pruned networks a cluster, at most")]
    error: Annotated[Floats, Shown("held-out error, mean", ".2%")]
    noise: float


class LearningPicture(Picture[LearningView]):
    """Kind `learning`."""

    name = "learning"
    title = "What more measurements would buy"

    def prepare(self, source: PictureSource) -> LearningView:
        rows, errors = gathered(source.learning_curve, "rows", "error")
        return LearningView(rows, errors, _noise(source.surrogates))

    def says(self, data: LearningView) -> str:
        floor = (
            f"; noise alone makes {percent(data.noise)}, which no model can beat"
            if np.isfinite(data.noise)
            else ""
        )
        return (
            f"With at most {data.rows[-1]} measurements of pruned networks a cluster the held-out "
            f"error is {percent(data.error[-1])}, with {data.rows[0]} it is "
            f"{percent(data.error[0])}{floor}."
        )

    def draw(self, data: LearningView) -> alt.LayerChart:
        base = data.chart().encode(
            x=data.x(
                "rows",
                scale=alt.Scale(type="log", nice=False, padding=12),
                axis=alt.Axis(values=data.rows.tolist(), format="d"),
            ),
            y=data.y("error", axis=alt.Axis(format=".1%"), scale=alt.Scale(zero=True)),
            tooltip=data.hover(),
        )
        layers = [
            base.mark_line(style="strong", fillOpacity=0),
            base.mark_point(filled=True, size=70, style="strong"),
        ]
        if np.isfinite(data.noise):
            layers += named_line("error:Q", data.noise, "noise alone", "quiet")
        return layered(*layers, height=260)


def _noise(fitted: tuple[SurrogateRecord, ...]) -> float:
    """Error of a perfect surrogate, over all cells; NaN where nothing was measured twice."""
    told = [r for r in fitted if np.isfinite(r.noise_floor)]
    cells = sum(r.configurations for r in told)
    return sum(r.noise_floor * r.configurations for r in told) / cells if cells else float("nan")
