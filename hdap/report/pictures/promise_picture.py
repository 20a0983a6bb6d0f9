"""What was promised of a trial and what was measured of it, cluster by cluster."""

from dataclasses import dataclass
from typing import Annotated, Any

import altair as alt
import numpy as np

from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import counted
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Cluster, Shown, Text, View, gathered, layered
from hdap.search.analysis.judgement import stored_verdicts

ROW = 34


@dataclass(frozen=True, eq=False)
class PromiseView(View):
    """K clusters of the trial verified last, predicted and then measured (`what`): ms with 90 %
    intervals, 2 K in all (NaN: not measured). `devices` measured it; `kept` of `done` clusters that
    were measured are not above their interval."""

    cluster: Cluster
    what: Annotated[Text, Shown()]
    ms: Annotated[Floats, Shown("latency, ms (line: 90 % interval)", ".2f")]
    low: Annotated[Floats, Shown("from (90 %), ms", ".2f")]
    high: Annotated[Floats, Shown("to (90 %), ms", ".2f")]
    devices: Annotated[Ints, Shown("devices that measured")]
    trial: int
    kept: int
    done: int
    verdict: str
    simulated: bool


class PromisePicture(Picture[PromiseView]):
    """Kind `promise`."""

    name = "promise"
    title = "What was promised and what was measured"

    def prepare(self, source: PictureSource) -> PromiseView:
        newest = max(source.verifications, key=lambda r: r.created_at)
        rows = [r for r in source.verifications if r.number == newest.number]
        (verdict,) = stored_verdicts(rows)
        cluster, devices = gathered(rows, "cluster", "devices")
        predicted = gathered(rows, "predicted_ms", "predicted_low_ms", "predicted_high_ms")
        measured = gathered(rows, "measured_ms", "measured_low_ms", "measured_high_ms")
        ms, low, high = map(np.concatenate, zip(predicted, measured, strict=True))
        done = np.isfinite(measured[0])
        return PromiseView(
            np.tile(cluster, 2),
            np.repeat(["predicted", "simulated" if newest.simulated else "measured"], len(rows)),
            ms,
            low,
            high,
            np.tile(devices, 2),
            newest.number,
            sum(check.holds for check in verdict.clusters),
            int(done.sum()),
            verdict.words,
            newest.simulated,
        )

    def says(self, data: PromiseView) -> str:
        return (
            f"The promise of trial {data.trial} {data.verdict}; {data.kept} of "
            f"{counted(data.done, 'measured cluster')} as promised."
        )

    def draw(self, data: PromiseView) -> alt.LayerChart:
        order = list(dict.fromkeys(data.what.tolist()))
        what: dict[str, Any] = {"title": None, "sort": order, "scale": alt.Scale(domain=order)}
        base = data.chart().encode(
            y=data.y("cluster"),
            yOffset=alt.YOffset("what:N", sort=order),
            color=alt.Color("what:N", **what),
        )
        x = data.x("ms", scale=alt.Scale(zero=False))
        return layered(
            base.mark_rule(strokeWidth=3, opacity=0.5).encode(
                x=data.x("low", title=data.title("ms")), x2="high:Q"
            ),
            base.mark_point(filled=True, size=80).encode(
                x=x, shape=alt.Shape("what:N", **what), tooltip=data.hover()
            ),
            height=max(110, ROW * len(data.cluster) // 2),
        )
