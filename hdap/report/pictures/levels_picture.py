"""What the levels of an elastic network make of a changing clock, cluster by cluster."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.records import Floats, Ints
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False)
class LevelsView:
    """n points of cluster and clock (a share of the typical one), predicted, ms: the level that
    serves there, what it takes, and what the widest level would take. `target_ms` is the plan's."""

    cluster: Ints
    clock: Floats
    level: Ints
    ms: Floats
    widest_ms: Floats
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
        return LevelsView(
            np.array([p.cluster for p in chosen], dtype=np.int64),
            np.array([p.clock for p in chosen]),
            np.array([p.level for p in chosen], dtype=np.int64),
            np.array([p.latency_ms for p in chosen]),
            np.array([whole[p.cluster, p.clock] for p in chosen]),
            plan.target_ms,
        )

    def says(self, data: LevelsView) -> str:
        slowest = float(np.nanmax(data.widest_ms))
        return (
            f"Predicted: with a level for each cluster and clock no point takes more than "
            f"{np.nanmax(data.ms):.1f} ms (target {data.target_ms:.1f} ms), where the widest level "
            f"takes up to {slowest:.1f} ms."
        )

    def draw(self, data: LevelsView) -> "alt.LayerChart":
        import altair as alt

        columns = {"cluster": data.cluster, "clock": data.clock, "level": data.level}
        served = alt.Chart(table(columns | {"ms": data.ms})).encode(
            x=alt.X("clock:Q", title="clock, share of the typical", axis=alt.Axis(format=".0%")),
            y=alt.Y("ms:Q", title="predicted latency, ms", scale=alt.Scale(zero=True)),
            color=alt.Color("cluster:O", title="cluster"),
        )
        widest = alt.Chart(table(columns | {"ms": data.widest_ms})).encode(
            x="clock:Q", y="ms:Q", detail="cluster:O"
        )
        target = alt.Chart(
            table(
                {
                    "ms": np.array([data.target_ms]),
                    "clock": np.array([float(data.clock.max())]),
                    "name": np.array(["target"]),
                }
            )
        )
        return layered(
            widest.mark_line(style="quiet", strokeDash=[3, 3], strokeWidth=1.2, fillOpacity=0),
            served.mark_line(fillOpacity=0),
            served.mark_point(filled=True, size=70).encode(
                tooltip=[
                    alt.Tooltip("cluster:O"),
                    alt.Tooltip("clock:Q", format=".0%"),
                    alt.Tooltip("level:Q"),
                    alt.Tooltip("ms:Q", title="predicted, ms", format=".2f"),
                ]
            ),
            target.mark_rule(style="best", strokeDash=[6, 4]).encode(y="ms:Q"),
            target.mark_text(align="right", dy=-7, style="words").encode(
                x="clock:Q", y="ms:Q", text="name:N"
            ),
            height=280,
        )
