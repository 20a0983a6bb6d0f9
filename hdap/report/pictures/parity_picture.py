"""Predicted against measured, on configurations that the surrogates had never seen."""

from dataclasses import dataclass
from typing import Annotated, Any

import altair as alt
import numpy as np

from hdap.fleet_data.records import Floats
from hdap.fleet_data.wording import percent
from hdap.report.pictures.figure import Picture, sample_note, sampled
from hdap.report.pictures.fleet_picture import cluster_colour
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Cluster, Shown, Text, View, chart, gathered, layered


@dataclass(frozen=True, eq=False)
class ParityView(View):
    """m cells (cluster x configuration), latencies in ms with the 90 % interval of the prediction;
    `error` is the mean of |predicted / measured - 1| over all cells, `covered` the share inside."""

    cluster: Cluster
    network: Annotated[Text, Shown()]
    measured: Annotated[Floats, Shown("measured median, ms", ".2f")]
    predicted: Annotated[Floats, Shown("predicted, ms (line: 90 % interval)", ".2f")]
    low: Annotated[Floats, Shown("from (90 %), ms", ".2f")]
    high: Annotated[Floats, Shown("to (90 %), ms", ".2f")]
    clusters: int
    error: float
    covered: float
    total: int


class ParityPicture(Picture[ParityView]):
    """Kind `parity`."""

    name = "parity"
    title = "Predicted against measured, held out"

    def prepare(self, source: PictureSource) -> ParityView:
        held = source.held_out
        inside, error = gathered(held, "inside", "error")
        chosen = [held[i] for i in sampled(len(held), ~inside)]
        cluster, of_design, measured = gathered(chosen, "cluster", "flops", "measured_ms")
        predicted, low, high = gathered(chosen, "predicted_ms", "low_ms", "high_ms")
        return ParityView(
            cluster,
            np.array([f"{f:.2f} G FLOPs" for f in of_design / 1e9]),
            measured,
            predicted,
            low,
            high,
            len(source.surrogates),
            float(np.abs(error).mean()),
            float(inside.mean()),
            len(held),
        )

    def says(self, data: ParityView) -> str:
        return (
            f"On {data.total:,} medians of networks that no surrogate had seen, predictions err by "
            f"{percent(data.error)} in the mean and {percent(data.covered, 0)} lie in the 90 % "
            "interval; what lies on the diagonal was predicted exactly."
        )

    def notes(self, data: ParityView) -> tuple[str, ...]:
        return sample_note(len(data.cluster), data.total, "medians (those outside first)")

    def draw(self, data: ParityView) -> alt.LayerChart:
        ends = [
            float(min(data.measured.min(), data.low.min())) * 0.97,
            float(max(data.measured.max(), data.high.max())) * 1.03,
        ]
        common: dict[str, Any] = {
            "scale": alt.Scale(type="log", domain=ends, nice=False),
            "axis": alt.Axis(format="~g", tickCount=8),
        }
        x, y = data.x("measured", **common), data.y("predicted", **common)
        base = data.chart().encode(x=x, color=cluster_colour(data.clusters))
        return layered(
            chart(measured=ends, predicted=ends)
            .mark_line(style="quiet", strokeDash=[5, 4], strokeWidth=1.2, fillOpacity=0)
            .encode(x=x, y=y),
            base.mark_rule(opacity=0.35).encode(
                y=data.y("low", **common | {"title": data.title("predicted")}), y2="high:Q"
            ),
            base.mark_point(filled=True, size=30, opacity=0.85).encode(y=y, tooltip=data.hover()),
            height=400,
        )
