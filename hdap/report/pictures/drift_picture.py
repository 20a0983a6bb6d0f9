"""How much each cluster's latency changed since the fleet was clustered."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.clustering.cluster_drift import MATERIAL, drift
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.wording import percent
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Cluster, Shown, Silent, Text, View, chart, gathered, layered
from hdap.surrogate.models.base import Z90

ROW = 26


@dataclass(frozen=True, eq=False)
class DriftView(View):
    """Clusters (C) that reported enough since: relative `change` (< 0: faster) with its 90 %
    interval, over `devices`; `rows` everyday measurements came in all."""

    cluster: Cluster
    change: Annotated[Floats, Shown("change of latency (line: 90 % interval)", "+.1%")]
    low: Annotated[Floats, Silent]
    high: Annotated[Floats, Silent]
    devices: Annotated[Ints, Shown("devices that reported")]
    verdict: Annotated[Text, Shown()]
    changed: Bools
    rows: int


class DriftPicture(Picture[DriftView]):
    """Kind `drift`."""

    name = "drift"
    title = "What changed since the fleet was clustered"

    def prepare(self, source: PictureSource) -> DriftView:
        fleet = source.fleet
        new = source.store.rows_after(fleet.measurement_mark)
        seen = drift(source.measurements, new, fleet) if new else None
        if seen is None or not seen.clusters:
            raise NotEnoughDataError(
                "drift shows where enough everyday telemetry of a cluster came since clustering "
                f"{fleet.id}, but {f'{new:,} rows' if new else 'none'} came: hdap ingest "
                "telemetry.csv"
            )
        change, error, changed = gathered(seen.clusters, "change", "error", "changed")
        cluster, devices = gathered(seen.clusters, "cluster", "devices")
        verdict = np.where(changed, "changed", "within noise")
        ends = change - Z90 * error, change + Z90 * error
        return DriftView(cluster, change, *ends, devices, verdict, changed, seen.rows)

    def says(self, data: DriftView) -> str:
        moved = data.cluster[data.changed]
        if not len(moved):
            return (
                f"None of {len(data.cluster)} clusters changed beyond noise and "
                f"{percent(MATERIAL, 0)} over {data.rows:,} everyday measurements."
            )
        names = ", ".join(str(k) for k in moved)
        which = "Cluster" if len(moved) == 1 else "Clusters"
        return f"{which} {names} changed beyond noise over {data.rows:,} everyday measurements."

    def draw(self, data: DriftView) -> alt.LayerChart:
        verdicts = alt.Scale(domain=["within noise", "changed"])
        base = data.chart().encode(
            y=data.y("cluster"), color=alt.Color("verdict:N", title=None, scale=verdicts)
        )
        x = data.x("change")
        return layered(
            chart(change=[0.0]).mark_rule(style="quiet", strokeDash=[5, 4]).encode(x="change:Q"),
            base.mark_rule(strokeWidth=3, opacity=0.5).encode(
                x=data.x("low", title=data.title("change"), axis=alt.Axis(format="+.0%")),
                x2="high:Q",
            ),
            base.mark_point(filled=True, size=80).encode(x=x, tooltip=data.hover()),
            height=max(110, ROW * len(data.cluster)),
        )
