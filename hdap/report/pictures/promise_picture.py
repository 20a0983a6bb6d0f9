"""What was promised of a trial and what was measured of it, cluster by cluster."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt

ROW = 34


@dataclass(frozen=True, eq=False)
class PromiseView:
    """K clusters of the trial verified last: ms with 90 % intervals, `K x 3` (value, low, high;
    NaN: not measured). `devices` (K) measured it."""

    trial: int
    cluster: Ints
    predicted: Floats
    measured: Floats
    devices: Ints
    holds: Bools
    trial_holds: bool
    simulated: bool


class PromisePicture(Picture[PromiseView]):
    """Kind `promise`."""

    name = "promise"
    title = "What was promised and what was measured"

    def prepare(self, source: PictureSource) -> PromiseView:
        newest = max(source.verifications, key=lambda r: r.created_at)
        rows = [r for r in source.verifications if r.number == newest.number]
        predicted = [(r.predicted_ms, r.predicted_low_ms, r.predicted_high_ms) for r in rows]
        measured = [(r.measured_ms, r.measured_low_ms, r.measured_high_ms) for r in rows]
        return PromiseView(
            newest.number,
            np.array([r.cluster for r in rows], dtype=np.int64),
            np.array(predicted, dtype=np.float64),
            np.array(measured, dtype=np.float64),
            np.array([r.devices for r in rows], dtype=np.int64),
            np.array([r.holds for r in rows], dtype=np.bool_),
            newest.trial_holds,
            newest.simulated,
        )

    def says(self, data: PromiseView) -> str:
        done = np.isfinite(data.measured[:, 0])
        kept = int((data.holds & done).sum())
        verdict = "keeps" if data.trial_holds else "does not keep"
        word = "simulated, measured on no device" if data.simulated else "measured"
        return (
            f"Trial {data.trial} {verdict} its promise ({word}): {kept} of {int(done.sum())} "
            "clusters are not above their predicted 90 % interval."
        )

    def draw(self, data: PromiseView) -> "alt.LayerChart":
        import altair as alt

        word = "simulated" if data.simulated else "measured"
        both = np.concatenate([data.predicted, data.measured])
        order = ["predicted", word]
        rows = table(
            {
                "cluster": np.tile(data.cluster, 2),
                "what": np.repeat(np.array(order, dtype=object), len(data.cluster)),
                "ms": both[:, 0],
                "low": both[:, 1],
                "high": both[:, 2],
                "devices": np.tile(data.devices, 2),
            }
        )
        colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=order), sort=order)
        base = alt.Chart(rows).encode(
            y=alt.Y("cluster:O", title="cluster"),
            yOffset=alt.YOffset("what:N", sort=order),
            color=colour,
        )
        title = "latency, ms (line: 90 % interval)"
        x = alt.X("ms:Q", title=title, scale=alt.Scale(zero=False))
        return layered(
            base.mark_rule(strokeWidth=3, opacity=0.5).encode(
                x=alt.X("low:Q", title=title), x2="high:Q"
            ),
            base.mark_point(filled=True, size=80).encode(
                x=x,
                shape=alt.Shape("what:N", title=None, sort=order, scale=alt.Scale(domain=order)),
                tooltip=[
                    alt.Tooltip("cluster:O"),
                    alt.Tooltip("what:N"),
                    alt.Tooltip("ms:Q", title="ms", format=".2f"),
                    alt.Tooltip("low:Q", title="from (90 %), ms", format=".2f"),
                    alt.Tooltip("high:Q", title="to (90 %), ms", format=".2f"),
                    alt.Tooltip("devices:Q", title="devices that measured"),
                ],
            ),
            height=max(110, ROW * len(data.cluster)),
        )
