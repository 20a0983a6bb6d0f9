"""The devices on two axes: how slow each is, and what goes with it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints
from hdap.report.pictures.figure import Picture, layered, sample_note, sampled, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt

CONTEXT_TITLES = {
    "cpu_freq_mhz": "median CPU clock, MHz",
    "gpu_freq_mhz": "median GPU clock, MHz",
    "temperature_c": "median temperature, °C",
    "cpu_load_pct": "median CPU load, %",
    "mem_available_mb": "median free memory, MB",
    "battery_pct": "median battery charge, %",
    "battery_health_pct": "median battery health, %",
    "power_w": "median power, W",
    "energy_mj": "median energy an inference, mJ",
}
BEHAVIOUR_TITLES = {
    "slope": "slope: slower on memory-bound networks, in steps that can be told apart",
    "tail": "tail: p95 over median, in steps that can be told apart",
    "spread": "unsteadiness, in steps that can be told apart",
}
NAMED = 30
"""Outliers that are named in the picture."""
HEIGHT = 360
CATEGORIES = 8
"""Clusters up to which each has a colour of its own."""


@dataclass(frozen=True, eq=False)
class DevicesView:
    """D devices: `latency` over the fleet's median device, `other` in what `axis` says. `total`
    devices are in the clustering, `known` of them told `other`; of those D are drawn. `apart` is
    the slowest device's latency over the fastest's, outliers left out (NaN: all are outliers)."""

    device: NDArray[np.object_]
    cluster: Ints
    outlier: Bools
    latency: Floats
    other: Floats
    axis: str
    clusters: int
    total: int
    known: int
    outliers: int
    apart: float


class FleetPicture(Picture[DevicesView]):
    """Kind `fleet`."""

    name = "fleet"
    title = "The fleet, device by device"

    def prepare(self, source: PictureSource) -> DevicesView:
        fleet = source.fleet
        latency = relative_latency(fleet)
        other, axis = second_axis(source)
        known = np.flatnonzero(np.isfinite(other))
        chosen = known[sampled(len(known), fleet.outlier[known])]
        usual = latency[~fleet.outlier]
        return DevicesView(
            fleet.device_ids[chosen],
            fleet.cluster[chosen],
            fleet.outlier[chosen],
            latency[chosen],
            other[chosen],
            axis,
            len(fleet.clusters),
            len(latency),
            len(known),
            int(fleet.outlier.sum()),
            float(usual.max() / usual.min()) if len(usual) else float("nan"),
        )

    def says(self, data: DevicesView) -> str:
        sick = f"; {data.outliers:,} of them behave like no other" if data.outliers else ""
        return (
            f"{data.total:,} devices of one kind fall into {data.clusters} clusters and lie "
            f"{data.apart:.1f} times apart in latency{sick}."
        )

    def notes(self, data: DevicesView) -> tuple[str, ...]:
        unknown = data.total - data.known
        silent = (f"{unknown:,} devices never told their {data.axis} and are left out.",)
        return silent * (unknown > 0) + sample_note(
            len(data.device), data.known, "devices (outliers first)"
        )

    def draw(self, data: DevicesView) -> "alt.LayerChart":
        import altair as alt

        rows = table(
            {
                "device": data.device,
                "cluster": data.cluster,
                "behaves": np.where(data.outlier, "like no other", "as its cluster"),
                "latency": data.latency,
                "other": data.other,
            }
        )
        x = alt.X("other:Q", title=data.axis, scale=alt.Scale(zero=False, nice=False, padding=16))
        y = alt.Y(
            "latency:Q",
            title="latency over the median device's",
            scale=alt.Scale(type="log", nice=False, padding=16),
            axis=alt.Axis(format="~g", labelExpr="datum.label ? datum.label + 'x' : ''"),
        )
        tooltip = [
            alt.Tooltip("device:N"),
            alt.Tooltip("cluster:N"),
            alt.Tooltip("behaves:N"),
            alt.Tooltip("latency:Q", title="latency over the median's", format=".3f"),
            alt.Tooltip("other:Q", title=data.axis, format=".4~g"),
        ]
        points = (
            alt.Chart(rows)
            .mark_point(filled=True, opacity=0.75, size=75)
            .encode(x=x, y=y, color=cluster_colour(data.clusters), tooltip=tooltip)
        )
        if not data.outlier.any():
            return layered(points, height=HEIGHT)
        shapes = alt.Scale(
            domain=["as its cluster", "like no other"], range=["circle", "triangle-up"]
        )
        points = points.encode(shape=alt.Shape("behaves:N", title=None, scale=shapes))
        words = _named_outliers(data).encode(x=x, y=y, text="device:N")
        return layered(points, words, height=HEIGHT)


def _named_outliers(data: DevicesView) -> "alt.Chart":
    import altair as alt

    sick = np.flatnonzero(data.outlier)[:NAMED]
    columns = {"device": data.device, "latency": data.latency, "other": data.other}
    rows = table({name: values[sick] for name, values in columns.items()})
    words: alt.Chart = alt.Chart(rows).mark_text(align="left", dx=8, style="words", limit=140)
    return words


def cluster_colour(clusters: int) -> "alt.Color":
    """Clusters by colour: told apart while they are few, from fast to slow where they are many."""
    import altair as alt

    kind = "N" if clusters <= CATEGORIES else "O"
    domain = list(range(clusters))
    return alt.Color(f"cluster:{kind}", title="cluster", scale=alt.Scale(domain=domain))


def relative_latency(fleet: ClusteringRecord) -> Floats:
    """Latency of each device (D) over that of the fleet's median device."""
    middle = np.array([c.relative_latency for c in fleet.clusters])
    result: Floats = middle[fleet.cluster] * fleet.factor
    return result


def second_axis(source: PictureSource) -> tuple[Floats, str]:
    """What tells the clusters apart best beside latency: values (D) and the axis' title."""
    fleet = source.fleet
    shares = {
        name: _between(fleet.fingerprint[:, i], fleet.cluster)
        for i, name in enumerate(fleet.features)
        if name != "offset"
    }
    named = [n for n in shares if n in CONTEXT_TITLES or n in BEHAVIOUR_TITLES]
    best = max(named, key=lambda n: shares[n], default=None)
    if best is None:
        return fleet.factor, "latency over its cluster's"
    if best in BEHAVIOUR_TITLES:
        return fleet.fingerprint[:, fleet.features.index(best)], BEHAVIOUR_TITLES[best]
    return _medians(source, best), CONTEXT_TITLES[best]


def _between(values: Floats, cluster: Ints) -> float:
    """Share of the variance that lies between clusters; 0 where nothing varies."""
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if total == 0.0:
        return 0.0
    count = np.maximum(np.bincount(cluster), 1)
    middle = np.bincount(cluster, values) / count
    return float(((middle[cluster] - values.mean()) ** 2).sum()) / total


def _medians(source: PictureSource, column: str) -> Floats:
    """Median of a context column of each device of the clustering; NaN where none was sent."""
    rows, fleet = source.measurements, source.fleet
    place = {str(d): i for i, d in enumerate(rows.devices.ids)}
    medians = grouped_median(rows.device, rows.context[column], len(rows.devices.ids))
    at = np.array([place.get(str(d), -1) for d in fleet.device_ids], dtype=np.int64)
    result: Floats = np.where(at >= 0, medians[at], np.nan)
    return result
