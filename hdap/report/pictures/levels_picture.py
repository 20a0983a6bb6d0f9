"""What the levels of an elastic network make of a changing clock, cluster by cluster."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import latency
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Cluster, Shown, View, gathered, layered, named_line


@dataclass(frozen=True, eq=False)
class LevelsView(View):
    """n points of cluster and clock (a share of the typical one), predicted, ms: the level that
    serves there, what it takes, and what the widest level would take. `target_ms` is the plan's."""

    cluster: Cluster
    clock: Annotated[Floats, Shown("clock, share of the typical", ".0%")]
    level: Annotated[Ints, Shown()]
    ms: Annotated[Floats, Shown("predicted latency, ms", ".2f")]
    widest_ms: Annotated[Floats, Shown("the widest level's, ms", ".2f")]
    target_ms: float


class LevelsPicture(Picture[LevelsView]):
    """Kind `levels`."""

    name = "levels"
    title = "One speed at every clock"

    def prepare(self, source: PictureSource) -> LevelsView:
        plan = source.level_plan
        widest = max(level.level for level in plan.levels)
        whole = {(p.cluster, p.clock): p.latency_ms for p in plan.points if p.level == widest}
        chosen = [p for p in plan.points if p.chosen]
        cluster, clock, level, ms = gathered(chosen, "cluster", "clock", "level", "latency_ms")
        widest_ms = np.array([whole[p.cluster, p.clock] for p in chosen])
        return LevelsView(cluster, clock, level, ms, widest_ms, plan.target_ms)

    def says(self, data: LevelsView) -> str:
        slowest = float(np.nanmax(data.widest_ms))
        return (
            f"Predicted: with a level for each cluster and clock no point takes more than "
            f"{latency(np.nanmax(data.ms))} (target {latency(data.target_ms)}), where the "
            f"widest level takes up to {latency(slowest)}."
        )

    def draw(self, data: LevelsView) -> alt.LayerChart:
        base = data.chart().encode(x=data.x("clock", axis=alt.Axis(format=".0%")))
        served = base.encode(
            y=data.y("ms", scale=alt.Scale(zero=True)),
            color=alt.Color("cluster:O", title="cluster"),
        )
        return layered(
            base.mark_line(style="quiet", strokeDash=[3, 3], strokeWidth=1.2, fillOpacity=0).encode(
                y=data.y("widest_ms", title=data.title("ms")), detail="cluster:O"
            ),
            served.mark_line(fillOpacity=0),
            served.mark_point(filled=True, size=70).encode(tooltip=data.hover()),
            *named_line("ms:Q", data.target_ms, "target"),
            height=280,
        )
