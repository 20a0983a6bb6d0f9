"""What share of the fleet is how fast with the dense, the uniform and the found network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.records import Floats
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt

POINTS = 200
"""Steps of a curve: a fleet of any size is drawn by so many quantiles."""


@dataclass(frozen=True, eq=False)
class LatencyCurves:
    """N networks: `share` of the fleet (P) against `ms` (N x P), ascending; `mean` (N)."""

    networks: tuple[str, ...]
    share: Floats
    ms: Floats
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
            tuple(names),
            share,
            np.stack([fleet.percentile(ms, s) for s in share], axis=1),
            fleet.fleet_mean(ms),
        )

    def says(self, data: LatencyCurves) -> str:
        found, uniform, dense = data.mean
        return (
            f"In the fleet's mean the found network takes {found:.1f} ms (predicted), uniform "
            f"pruning {uniform:.1f} ms (predicted), dense {dense:.1f} ms "
            f"({data.networks[2][7:]}); a curve further left is a faster fleet."
        )

    def draw(self, data: LatencyCurves) -> "alt.LayerChart":
        import altair as alt

        count = len(data.networks)
        rows = table(
            {
                "network": np.repeat(np.array(data.networks, dtype=object), len(data.share)),
                "share": np.tile(data.share, count),
                "ms": data.ms.ravel(),
            }
        )
        order = list(data.networks)
        colour = alt.Color(
            "network:N",
            title=None,
            scale=alt.Scale(domain=order),
            sort=order,
            legend=alt.Legend(columns=2),
        )
        dash = alt.StrokeDash(
            "network:N",
            title=None,
            scale=alt.Scale(domain=order, range=[[1, 0], [8, 4], [2, 3]]),
            sort=order,
            legend=alt.Legend(columns=2),
        )
        base = alt.Chart(rows).encode(
            x=alt.X(
                "ms:Q",
                title="latency of a device, ms",
                scale=alt.Scale(type="log", nice=False, padding=10),
                axis=alt.Axis(format="~g", tickCount=8),
            ),
            y=alt.Y(
                "share:Q",
                title="share of the fleet at least this fast",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%"),
            ),
        )
        lines = base.mark_line(interpolate="step-after").encode(color=colour, strokeDash=dash)
        touch = base.mark_point(opacity=0, size=120, filled=True).encode(
            tooltip=[
                alt.Tooltip("network:N"),
                alt.Tooltip("share:Q", title="share of the fleet", format=".1%"),
                alt.Tooltip("ms:Q", title="takes at most, ms", format=".2f"),
            ],
        )
        return layered(lines, touch, height=320)
