"""How much each cluster's latency changed since the fleet was clustered."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdap.clustering.cluster_drift import MATERIAL, drift
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource
from hdap.surrogate.models.base import Z90

if TYPE_CHECKING:
    import altair as alt

ROW = 26


@dataclass(frozen=True, eq=False)
class DriftView:
    """Clusters (C) that reported enough since: relative `change` (< 0: faster) with its standard
    `error`, over `devices`; `rows` everyday measurements came in all."""

    cluster: Ints
    change: Floats
    error: Floats
    devices: Ints
    changed: Bools
    rows: int


class DriftPicture(Picture[DriftView]):
    """Kind `drift`."""

    name = "drift"
    title = "What changed since the fleet was clustered"

    def prepare(self, source: PictureSource) -> DriftView:
        fleet = source.fleet
        new = len(source.store.measurements(after_mark=fleet.measurement_mark))
        seen = drift(source.measurements, new, fleet) if new else None
        if seen is None or not seen.clusters:
            raise NotEnoughDataError(
                "drift shows where enough everyday telemetry of a cluster came since clustering "
                f"{fleet.id}, but {f'{new:,} rows' if new else 'none'} came: hdap ingest "
                "telemetry.csv"
            )
        return DriftView(
            np.array([c.cluster for c in seen.clusters], dtype=np.int64),
            np.array([c.change for c in seen.clusters]),
            np.array([c.error for c in seen.clusters]),
            np.array([c.devices for c in seen.clusters], dtype=np.int64),
            np.array([c.changed for c in seen.clusters], dtype=np.bool_),
            seen.rows,
        )

    def says(self, data: DriftView) -> str:
        moved = data.cluster[data.changed]
        if not len(moved):
            return (
                f"None of {len(data.cluster)} clusters changed beyond noise and {MATERIAL:.0%} "
                f"over {data.rows:,} everyday measurements."
            )
        names = ", ".join(str(k) for k in moved)
        return f"Clusters {names} changed beyond noise over {data.rows:,} everyday measurements."

    def draw(self, data: DriftView) -> "alt.LayerChart":
        import altair as alt

        rows = table(
            {
                "cluster": data.cluster,
                "change": data.change,
                "low": data.change - Z90 * data.error,
                "high": data.change + Z90 * data.error,
                "devices": data.devices,
                "verdict": np.where(data.changed, "changed", "within noise"),
            }
        )
        title = "change of latency (line: 90 % interval)"
        base = alt.Chart(rows).encode(
            y=alt.Y("cluster:O", title="cluster"),
            color=alt.Color(
                "verdict:N", title=None, scale=alt.Scale(domain=["within noise", "changed"])
            ),
        )
        zero = alt.Chart(table({"change": np.zeros(1)}))
        return layered(
            zero.mark_rule(style="quiet", strokeDash=[5, 4]).encode(x="change:Q"),
            base.mark_rule(strokeWidth=3, opacity=0.5).encode(
                x=alt.X("low:Q", title=title, axis=alt.Axis(format="+.0%")), x2="high:Q"
            ),
            base.mark_point(filled=True, size=80).encode(
                x=alt.X("change:Q", title=title),
                tooltip=[
                    alt.Tooltip("cluster:O"),
                    alt.Tooltip("change:Q", format="+.1%"),
                    alt.Tooltip("devices:Q", title="devices that reported"),
                    alt.Tooltip("verdict:N"),
                ],
            ),
            height=max(110, ROW * len(data.cluster)),
        )
