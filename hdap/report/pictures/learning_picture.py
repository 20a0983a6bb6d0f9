"""How much measuring buys: held-out error against measurements a cluster."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import percent
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, View, layered, named_line
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData
from hdap.surrogate.validation.cross_validation import noise_floor
from hdap.surrogate.validation.learning_curve import held_out_at

SIZES = (5, 10, 20, 50, 100, 200)
SEEDS = 2


@dataclass(frozen=True, eq=False)
class LearningView(View):
    """`rows` measurements of pruned networks a cluster (S) against the mean held-out `error` (S),
    the mean of `SEEDS` random splits; `noise` is the error of a perfect surrogate."""

    rows: Annotated[Ints, Shown("measurements of pruned networks a cluster, at most")]
    error: Annotated[Floats, Shown("held-out error, mean", ".2%")]
    noise: float


class LearningPicture(Picture[LearningView]):
    """Kind `learning`."""

    name = "learning"
    title = "What more measurements would buy"

    def prepare(self, source: PictureSource) -> LearningView:
        data = source.training
        kind = SURROGATES[source.kind]
        most = int(np.bincount(data.cluster[~data.dense], minlength=data.clusters).max() * 0.75)
        sizes = [s for s in SIZES if s < most] + [most]
        found: list[tuple[int, float]] = []
        for size in sizes:
            try:
                held = [held_out_at(kind, data, size, seed) for seed in range(SEEDS)]
            except NotEnoughDataError:
                continue
            error = np.concatenate([np.abs(np.expm1(h.error)) for h in held])
            found.append((size, float(error.mean())))
        if not found:
            raise NotEnoughDataError(
                "a learning curve needs more measured networks than there are: hdap plan"
            )
        rows, errors = zip(*found, strict=True)
        return LearningView(np.array(rows, dtype=np.int64), np.array(errors), _noise(data))

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


def _noise(data: TrainingData) -> float:
    """Error of a perfect surrogate, over all cells; NaN where nothing was measured twice."""
    cells = data.at(~data.dense).cells
    floors = np.array(noise_floor(data, cells))[cells.cluster]
    return float(np.nanmean(floors)) if np.isfinite(floors).any() else float("nan")
