"""What a bit more kept importance costs: the front of a study's trials."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.wording import latency, times
from hdap.report.pictures.figure import Picture, sample_note, sampled
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Silent, View, chart, layered
from hdap.search.problem.dominance import nondominated


@dataclass(frozen=True, eq=False)
class ParetoView(View):
    """n feasible trials, predicted. `front`: no other trial is faster and keeps as much. `found`
    and `uniform` are (ms, kept importance)."""

    trial: Annotated[Ints, Shown()]
    fleet_ms: Annotated[Floats, Shown("predicted fleet mean latency, ms", ".3f")]
    kept: Annotated[Floats, Shown("kept importance (share, geometric mean)", ".4f")]
    gflops: Annotated[Floats, Shown("FLOPs, G", ".3f")]
    front: Annotated[Bools, Silent]
    found: tuple[float, float]
    uniform: tuple[float, float]
    found_number: int
    total: int


class ParetoPicture(Picture[ParetoView]):
    """Kind `pareto`."""

    name = "pareto"
    title = "Fleet latency against what the network keeps"

    def prepare(self, source: PictureSource) -> ParetoView:
        trials, answer = source.trials, source.answer
        feasible = np.flatnonzero(trials.feasible)
        ms, kept = trials.fleet_mean_ms[feasible], trials.kept_importance[feasible]
        front = pareto_front(ms, kept)
        chosen = sampled(len(feasible), front)
        rows = feasible[chosen]
        return ParetoView(
            trials.number[rows],
            ms[chosen],
            kept[chosen],
            trials.flops[rows] / 1e9,
            front[chosen],
            (answer.found.fleet_mean_ms, answer.found.kept_importance),
            (answer.uniform.fleet_mean_ms, answer.uniform.kept_importance),
            int(answer.numbers[0]),
            len(feasible),
        )

    def says(self, data: ParetoView) -> str:
        gain = data.uniform[0] / data.found[0]
        return (
            f"Trial {data.found_number} is predicted {times(gain)} as fast on the fleet as "
            f"the best uniform network ({latency(data.found[0])} against "
            f"{latency(data.uniform[0])}); the line joins the trials that none beats in both."
        )

    def notes(self, data: ParetoView) -> tuple[str, ...]:
        return sample_note(len(data.trial), data.total, "feasible trials (the front first)")

    def draw(self, data: ParetoView) -> alt.LayerChart:
        scale = alt.Scale(zero=False, padding=12)
        x, y = data.x("kept", scale=scale), data.y("fleet_ms", scale=scale)
        base = data.chart().encode(x=x, y=y, tooltip=data.hover())
        front = base.transform_filter("datum.front")
        names = [f"found (trial {data.found_number})", "best uniform"]
        ms, kept = zip(data.found, data.uniform, strict=True)
        named = chart(network=names, fleet_ms=ms, kept=kept, place=[0, 1]).encode(
            x="kept:Q", y="fleet_ms:Q"
        )
        return layered(
            base.mark_point(filled=True, size=34, opacity=0.35, style="quiet"),
            front.mark_line(style="strong", interpolate="step-before", fillOpacity=0),
            front.mark_point(filled=True, size=60, style="strong"),
            named.mark_point(filled=True, shape="diamond", size=170, style="best").encode(
                tooltip=["network:N", *data.hover("fleet_ms", "kept")]
            ),
            *(_name(named, i, data) for i in range(len(names))),
            height=340,
        )


def _name(named: alt.Chart, place: int, data: ParetoView) -> alt.Chart:
    """A network's name on the side of its point where there is room for it."""
    kept = (data.found, data.uniform)[place][1]
    middle = (data.kept.min() + data.kept.max()) / 2
    if kept > middle:
        words = named.mark_text(style="words", fontWeight="bold", align="right", dx=-9, dy=-10)
    else:
        words = named.mark_text(style="words", fontWeight="bold", align="left", dx=9, dy=15)
    chosen: alt.Chart = words.transform_filter(f"datum.place == {place}")
    return chosen.encode(text="network:N")


def pareto_front(ms: Floats, kept: Floats) -> Bools:
    """Which of n trials no other beats in both (less `ms`, more `kept`); of equal ones the first.

    Raises NotEnoughDataError where there is no trial.
    """
    if not len(ms):
        raise NotEnoughDataError(
            "a front needs a feasible trial, but there is none: search longer or lower --floor"
        )
    return nondominated(np.stack([ms, -kept], axis=1))
