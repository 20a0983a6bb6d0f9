"""The devices on two axes: how slow each is, and what goes with it."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints
from hdap.fleet_data.wording import times
from hdap.report.pictures.figure import Picture, sample_note, sampled
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Cluster, Shown, Text, View, chart, layered
from hdap.workflows.fleet_artifacts import LARGE_FLEET

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
    **dict.fromkeys(
        ("slope", "slope_2", "slope_3", "slope_4"),
        "slope: which networks it is slow on, in steps that can be told apart",
    ),
    "tail": "tail: p95 over median, in steps that can be told apart",
    "spread": "unsteadiness, in steps that can be told apart",
}
BEHAVES = ("as its cluster", "like no other")
NAMED = 30
"""Outliers that are named in the picture."""
HEIGHT = 360
CATEGORIES = 8
"""Clusters up to which each has a colour of its own."""


@dataclass(frozen=True, eq=False)
class DevicesView(View):
    """D devices: `latency` over the fleet's median device, `other` in what `axis` says. `total`
    devices are in the clustering, `asked` of them were looked at, `known` of these told `other`; of
    those D are drawn. `apart` is
    the slowest device's latency over the fastest's, outliers left out (NaN: all are outliers)."""

    device: Annotated[Text, Shown()]
    cluster: Cluster
    behaves: Annotated[Text, Shown()]
    latency: Annotated[Floats, Shown("latency over the median device's", ".3f")]
    other: Annotated[Floats, Shown("{axis}", ".4~g")]
    outlier: Bools
    axis: str
    clusters: int
    total: int
    asked: int
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
        # of a large fleet only those that may be drawn are asked
        asked = np.arange(len(latency))
        if len(latency) > LARGE_FLEET:
            asked = sampled(len(latency), fleet.outlier)
        other, axis = second_axis(source, asked)
        known = np.flatnonzero(np.isfinite(other))
        chosen = known[sampled(len(known), fleet.outlier[known])]
        outlier, usual = fleet.outlier[chosen], latency[~fleet.outlier]
        return DevicesView(
            fleet.device_ids[chosen],
            fleet.cluster[chosen],
            np.where(outlier, *BEHAVES[::-1]),
            latency[chosen],
            other[chosen],
            outlier,
            axis,
            len(fleet.clusters),
            len(latency),
            len(asked),
            len(known),
            int(fleet.outlier.sum()),
            float(usual.max() / usual.min()) if len(usual) else float("nan"),
        )

    def says(self, data: DevicesView) -> str:
        sick = f"; {data.outliers:,} of them behave like no other" if data.outliers else ""
        return (
            f"{data.total:,} devices of one kind fall into {data.clusters} clusters and lie "
            f"{times(data.apart)} apart in latency{sick}."
        )

    def notes(self, data: DevicesView) -> tuple[str, ...]:
        unknown = data.asked - data.known
        silent = (f"{unknown:,} devices never told their {data.axis} and are left out.",)
        of = data.known if data.asked == data.total else data.total
        note = sample_note(len(data.device), of, "devices (outliers first)")
        return silent * (unknown > 0) + note

    def draw(self, data: DevicesView) -> alt.LayerChart:
        x = data.x("other", scale=alt.Scale(zero=False, nice=False, padding=16))
        y = data.y(
            "latency",
            scale=alt.Scale(type="log", nice=False, padding=16),
            axis=alt.Axis(format="~g", labelExpr="datum.label ? datum.label + 'x' : ''"),
        )
        points = data.chart().mark_point(filled=True, opacity=0.75, size=75)
        points = points.encode(x=x, y=y, color=cluster_colour(data.clusters), tooltip=data.hover())
        if not data.outlier.any():
            return layered(points, height=HEIGHT)
        shapes = alt.Scale(domain=list(BEHAVES), range=["circle", "triangle-up"])
        sick = np.flatnonzero(data.outlier)[:NAMED]
        named = {name: getattr(data, name)[sick] for name in ("device", "latency", "other")}
        words = chart(**named).mark_text(align="left", dx=8, style="words", limit=140)
        return layered(
            points.encode(shape=alt.Shape("behaves:N", title=None, scale=shapes)),
            words.encode(x=x, y=y, text="device:N"),
            height=HEIGHT,
        )


def cluster_colour(clusters: int) -> alt.Color:
    """Clusters by colour: told apart while they are few, from fast to slow where they are many."""
    kind = "N" if clusters <= CATEGORIES else "O"
    domain = list(range(clusters))
    return alt.Color(f"cluster:{kind}", title="cluster", scale=alt.Scale(domain=domain))


def relative_latency(fleet: ClusteringRecord) -> Floats:
    """Latency of each device (D) over that of the fleet's median device."""
    middle = np.array([c.relative_latency for c in fleet.clusters])
    result: Floats = middle[fleet.cluster] * fleet.factor
    return result


def second_axis(source: PictureSource, asked: Ints) -> tuple[Floats, str]:
    """What tells the clusters apart best beside latency: values (D, known of those `asked`) and
    the axis' title."""
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
    return _medians(source, best, asked), CONTEXT_TITLES[best]


def _between(values: Floats, cluster: Ints) -> float:
    """Share of the variance that lies between clusters; 0 where nothing varies."""
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if total == 0.0:
        return 0.0
    count = np.maximum(np.bincount(cluster), 1)
    middle = np.bincount(cluster, values) / count
    return float(((middle[cluster] - values.mean()) ** 2).sum()) / total


def _medians(source: PictureSource, column: str, asked: Ints) -> Floats:
    """Median of a context column of each device of the clustering that is `asked`; NaN for others
    and where none was sent."""
    fleet = source.fleet
    names = fleet.device_ids[asked]
    whole = len(asked) == len(fleet.device_ids)
    rows = source.measurements if whole else source.store.measurements(of_devices=names)
    medians = np.full(len(rows.devices.ids), np.nan)
    if column in rows.context:
        medians = grouped_median(rows.device, rows.context[column], len(medians))
    place = {str(rows.devices.ids[i]): i for i in np.unique(rows.device)}
    at = np.array([place.get(str(d), -1) for d in names], dtype=np.int64)
    result = np.full(len(fleet.device_ids), np.nan)
    result[asked] = np.where(at >= 0, medians[at], np.nan)
    return result
