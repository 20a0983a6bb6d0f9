"""The clusters: how slow each is, how far its devices lie apart, how many they are."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import percent, times
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Cluster, Shown, Silent, Text, View, gathered, layered

ROW = 38


@dataclass(frozen=True, eq=False)
class ClustersView(View):
    """K clusters: latency over the fleet's median device, `low` and `high` one standard deviation
    of its devices away; `share` of the fleet's weight; `stability`, how often it is found
    again (0..1)."""

    cluster: Cluster
    devices: Annotated[Ints, Shown()]
    share: Annotated[Floats, Shown("share of the weight", ".1%")]
    latency: Annotated[Floats, Shown("latency over the median device's", ".3f")]
    low: Annotated[Floats, Silent]
    high: Annotated[Floats, Silent]
    stability: Annotated[Floats, Shown(format=".2f")]
    special: Annotated[Text, Shown("what is special")]
    named: Annotated[Text, Silent]


class ClustersPicture(Picture[ClustersView]):
    """Kind `clusters`."""

    name = "clusters"
    title = "The clusters, from the fastest to the slowest"

    def prepare(self, source: PictureSource) -> ClustersView:
        rows = source.fleet.clusters
        cluster, devices, share, special = gathered(
            rows, "cluster", "devices", "weight_share", "description"
        )
        latency, spread, stability = gathered(rows, "relative_latency", "spread", "stability")
        named = [f"{c.cluster}|{c.devices:,} devices, {percent(c.weight_share)}" for c in rows]
        return ClustersView(
            cluster,
            devices,
            share,
            latency,
            latency / (1 + spread),
            latency * (1 + spread),
            stability,
            special,
            np.array(named),
        )

    def says(self, data: ClustersView) -> str:
        largest = int(data.share.argmax())
        known = data.stability[np.isfinite(data.stability)]
        again = (
            f"; resampled, each is found again with an index of at least {known.min():.2f}"
            if len(known)
            else ""
        )
        slowest = data.latency.max() / data.latency.min()
        return (
            f"Cluster {data.cluster[largest]} carries {percent(data.share[largest])} of the "
            "fleet's weight; a line is one standard deviation of its devices; the slowest takes "
            f"{times(slowest)} as long as the fastest{again}."
        )

    def draw(self, data: ClustersView) -> alt.LayerChart:
        names = alt.Axis(labelExpr="split(datum.label, '|')", labelOverlap=False)
        base = data.chart().encode(
            y=data.y("named", sort=None, title="cluster, and its share of the weight", axis=names)
        )
        x = data.x(
            "latency",
            scale=alt.Scale(type="log", nice=False, padding=16),
            axis=alt.Axis(format="~g", labelExpr="datum.label ? datum.label + 'x' : ''"),
        )
        size = alt.Size("share:Q", legend=None, scale=alt.Scale(range=[40, 400]))
        return layered(
            base.mark_rule(style="strong", strokeWidth=3, opacity=0.5).encode(
                x=data.x("low", title=data.title("latency")), x2="high:Q"
            ),
            base.mark_point(filled=True, style="strong").encode(
                x=x, size=size, tooltip=data.hover()
            ),
            height=max(120, ROW * len(data.cluster)),
        )
