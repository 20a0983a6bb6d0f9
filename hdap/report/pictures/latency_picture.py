"""What share of the fleet is how fast with the dense, the uniform and the found network."""

from dataclasses import dataclass
from typing import Annotated, Any

import altair as alt
import numpy as np

from hdap.fleet_data.records import Floats
from hdap.fleet_data.wording import latency
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Text, View, layered

POINTS = 200
"""Steps of a curve: a fleet of any size is drawn by so many quantiles."""


@dataclass(frozen=True, eq=False)
class LatencyCurves(View):
    """N networks: `share` of the fleet (P) against `ms`, ascending, one after the other (N x P
    rows); `names` and `mean` (N)."""

    network: Annotated[Text, Shown()]
    share: Annotated[Floats, Shown("share of the fleet at least this fast", ".1%")]
    ms: Annotated[Floats, Shown("latency of a device, ms", ".2f")]
    names: tuple[str, ...]
    mean: Floats


class LatencyPicture(Picture[LatencyCurves]):
    """Kind `latency`."""

    name = "latency"
    title = "Latency of the fleet with each network"

    def prepare(self, source: PictureSource) -> LatencyCurves:
        answer, problem = source.answer, source.problem
        rows = [answer.found, answer.uniform, answer.dense]
        names = ["found, predicted", "uniform, predicted", "dense, predicted"]
        ms = problem.latency.predict(np.stack([r.counts for r in rows])).ms
        if answer.dense.measured:
            word = "simulated" if source.simulated else "measured"
            names[2], ms[2] = f"dense, {word}", source.dense_ms
        share = (np.arange(POINTS) + 0.5) / POINTS
        fleet = problem.fleet
        return LatencyCurves(
            np.repeat(names, POINTS),
            np.tile(share, len(names)),
            np.stack([fleet.percentile(ms, s) for s in share], axis=1).ravel(),
            tuple(names),
            fleet.fleet_mean(ms),
        )

    def says(self, data: LatencyCurves) -> str:
        found, uniform, dense = data.mean
        return (
            f"In the fleet's mean the found network takes {latency(found)} (predicted), uniform "
            f"pruning {latency(uniform)} (predicted), dense {latency(dense)} "
            f"({data.names[2][7:]}); a curve further left is a faster fleet."
        )

    def draw(self, data: LatencyCurves) -> alt.LayerChart:
        order = list(data.names)
        common: dict[str, Any] = {"title": None, "sort": order, "legend": alt.Legend(columns=2)}
        dashes = alt.Scale(domain=order, range=[[1, 0], [8, 4], [2, 3]])
        base = data.chart().encode(
            x=data.x(
                "ms",
                scale=alt.Scale(type="log", nice=False, padding=10),
                axis=alt.Axis(format="~g", tickCount=8),
            ),
            y=data.y("share", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")),
        )
        return layered(
            base.mark_line(interpolate="step-after").encode(
                color=alt.Color("network:N", scale=alt.Scale(domain=order), **common),
                strokeDash=alt.StrokeDash("network:N", scale=dashes, **common),
            ),
            base.mark_point(opacity=0, size=120, filled=True).encode(tooltip=data.hover()),
            height=320,
        )
