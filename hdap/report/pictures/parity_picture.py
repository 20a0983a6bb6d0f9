"""Predicted against measured, on configurations that the surrogates had never seen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats, Ints
from hdap.report.pictures.figure import Picture, layered, sample_note, sampled, table
from hdap.report.pictures.fleet_picture import cluster_colour
from hdap.report.pictures.picture_source import PictureSource
from hdap.surrogate.models.base import Z90

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False)
class ParityView:
    """m cells (cluster x configuration), latencies in ms with the 90 % interval of the prediction;
    `error` is the mean of |predicted / measured - 1| over all cells, `covered` the share inside."""

    cluster: Ints
    network: NDArray[np.object_]
    measured: Floats
    predicted: Floats
    low: Floats
    high: Floats
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
        cells, sd = held.cells, held.predicted_log_sd
        inside = np.abs(held.error) <= Z90 * sd
        chosen = sampled(len(cells), ~inside)
        of_design = flops(source.training.architecture, cells.counts) / 1e9
        names = [f"{f:.2f} G FLOPs" for f in of_design[chosen]]
        middle = held.predicted_log_ms[chosen]
        return ParityView(
            cells.cluster[chosen],
            np.array(names, dtype=object),
            np.exp(cells.log_ms[chosen]),
            np.exp(middle),
            np.exp(middle - Z90 * sd[chosen]),
            np.exp(middle + Z90 * sd[chosen]),
            source.training.clusters,
            float(np.abs(np.expm1(held.error)).mean()),
            float(inside.mean()),
            len(cells),
        )

    def says(self, data: ParityView) -> str:
        return (
            f"On {data.total:,} medians of networks that no surrogate had seen, predictions err by "
            f"{data.error:.1%} in the mean and {data.covered:.0%} lie in the 90 % interval; what "
            "lies on the diagonal was predicted exactly."
        )

    def notes(self, data: ParityView) -> tuple[str, ...]:
        return sample_note(len(data.cluster), data.total, "medians (those outside first)")

    def draw(self, data: ParityView) -> "alt.LayerChart":
        import altair as alt

        rows = table(
            {
                "cluster": data.cluster,
                "network": data.network,
                "measured": data.measured,
                "predicted": data.predicted,
                "low": data.low,
                "high": data.high,
            }
        )
        ends = [
            float(np.min([data.measured.min(), data.low.min()])) * 0.97,
            float(np.max([data.measured.max(), data.high.max()])) * 1.03,
        ]
        scale = alt.Scale(type="log", domain=ends, nice=False)
        axis = alt.Axis(format="~g", tickCount=8)
        x = alt.X("measured:Q", title="measured median, ms", scale=scale, axis=axis)
        base = alt.Chart(rows).encode(x=x, color=cluster_colour(data.clusters))
        both = table({"measured": np.array(ends), "predicted": np.array(ends)})
        title = "predicted, ms (line: 90 % interval)"
        y = alt.Y("predicted:Q", title=title, scale=scale, axis=axis)
        return layered(
            alt.Chart(both)
            .mark_line(style="quiet", strokeDash=[5, 4], strokeWidth=1.2, fillOpacity=0)
            .encode(x=x, y=y),
            base.mark_rule(opacity=0.35).encode(
                y=alt.Y("low:Q", scale=scale, axis=axis, title=title), y2="high:Q"
            ),
            base.mark_point(filled=True, size=30, opacity=0.85).encode(
                y=y,
                tooltip=[
                    alt.Tooltip("cluster:N"),
                    alt.Tooltip("network:N"),
                    alt.Tooltip("measured:Q", title="measured, ms", format=".2f"),
                    alt.Tooltip("predicted:Q", title="predicted, ms", format=".2f"),
                    alt.Tooltip("low:Q", title="from (90 %), ms", format=".2f"),
                    alt.Tooltip("high:Q", title="to (90 %), ms", format=".2f"),
                ],
            ),
            height=400,
        )
