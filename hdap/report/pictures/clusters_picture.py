"""The clusters: how slow each is, how far its devices lie apart, how many they are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Floats, Ints
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt

ROW = 26


@dataclass(frozen=True, eq=False)
class ClustersView:
    """K clusters: latency over the fleet's median device, one standard deviation of its devices
    (`spread`, relative), share of the fleet's weight, and how often it is found again (0..1)."""

    cluster: Ints
    latency: Floats
    spread: Floats
    share: Floats
    stability: Floats
    devices: Ints
    special: NDArray[np.object_]


class ClustersPicture(Picture[ClustersView]):
    """Kind `clusters`."""

    name = "clusters"
    title = "The clusters, from the fastest to the slowest"

    def prepare(self, source: PictureSource) -> ClustersView:
        rows = source.fleet.clusters
        return ClustersView(
            np.array([c.cluster for c in rows], dtype=np.int64),
            np.array([c.relative_latency for c in rows]),
            np.array([c.spread for c in rows]),
            np.array([c.weight_share for c in rows]),
            np.array([c.stability for c in rows]),
            np.array([c.devices for c in rows], dtype=np.int64),
            np.array([c.description for c in rows], dtype=object),
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
            f"Cluster {data.cluster[largest]} carries {data.share[largest]:.0%} of the fleet's "
            f"weight; a line is one "
            f"standard deviation of its devices; the slowest takes {slowest:.1f} times as long "
            f"as the fastest{again}."
        )

    def draw(self, data: ClustersView) -> "alt.LayerChart":
        import altair as alt

        rows = table(
            {
                "cluster": data.cluster,
                "latency": data.latency,
                "low": data.latency / (1 + data.spread),
                "high": data.latency * (1 + data.spread),
                "share": data.share,
                "stability": data.stability,
                "devices": data.devices,
                "special": data.special,
                "words": np.array(
                    [
                        f"{n:,} devices, {s:.0%} of the weight"
                        for n, s in zip(data.devices, data.share, strict=True)
                    ],
                    dtype=object,
                ),
            }
        )
        base = alt.Chart(rows).encode(y=alt.Y("cluster:O", title="cluster"))
        title = "latency over the median device's"
        x = alt.X(
            "latency:Q",
            title=title,
            scale=alt.Scale(type="log", nice=False, padding=60),
            axis=alt.Axis(format="~g", labelExpr="datum.label ? datum.label + 'x' : ''"),
        )
        return layered(
            base.mark_rule(style="strong", strokeWidth=3, opacity=0.5).encode(
                x=alt.X("low:Q", title=title), x2="high:Q"
            ),
            base.mark_point(filled=True, style="strong").encode(
                x=x,
                size=alt.Size("share:Q", legend=None, scale=alt.Scale(range=[40, 400])),
                tooltip=[
                    alt.Tooltip("cluster:O"),
                    alt.Tooltip("devices:Q"),
                    alt.Tooltip("share:Q", title="share of the weight", format=".1%"),
                    alt.Tooltip("latency:Q", title="latency over the median's", format=".3f"),
                    alt.Tooltip("stability:Q", format=".2f"),
                    alt.Tooltip("special:N", title="what is special"),
                ],
            ),
            base.mark_text(dy=-12, style="words", fontSize=10).encode(x=x, text="words:N"),
            height=max(120, (ROW + 12) * len(data.cluster)),
        )
