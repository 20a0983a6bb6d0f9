"""What a bit more kept importance costs: the front of a study's trials."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.report.pictures.figure import Picture, layered, sample_note, sampled, table
from hdap.report.pictures.picture_source import PictureSource
from hdap.search.analysis.pareto_front import nondominated

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False)
class ParetoView:
    """n feasible trials, predicted. `front`: no other trial is faster and keeps as much. `found`
    and `uniform` are (ms, kept importance)."""

    number: Ints
    fleet_ms: Floats
    kept: Floats
    flops: Ints
    front: Bools
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
            trials.flops[rows],
            front[chosen],
            (answer.found.fleet_mean_ms, answer.found.kept_importance),
            (answer.uniform.fleet_mean_ms, answer.uniform.kept_importance),
            int(answer.numbers[0]),
            len(feasible),
        )

    def says(self, data: ParetoView) -> str:
        gain = data.uniform[0] / data.found[0]
        return (
            f"Trial {data.found_number} is predicted {gain:.2f} times as fast on the fleet as "
            f"uniform pruning on the same grid ({data.found[0]:.2f} against {data.uniform[0]:.2f} "
            "ms); the line joins the trials that none beats in both."
        )

    def notes(self, data: ParetoView) -> tuple[str, ...]:
        return sample_note(len(data.number), data.total, "feasible trials (the front first)")

    def draw(self, data: ParetoView) -> "alt.LayerChart":
        import altair as alt

        rows = table(
            {
                "trial": data.number,
                "kept": data.kept,
                "ms": data.fleet_ms,
                "flops": data.flops / 1e9,
                "front": data.front,
            }
        )
        scale = alt.Scale(zero=False, padding=12)
        base = alt.Chart(rows).encode(
            x=alt.X("kept:Q", title="kept importance (share, geometric mean)", scale=scale),
            y=alt.Y("ms:Q", title="predicted fleet mean latency, ms", scale=scale),
        )
        tooltip = [
            alt.Tooltip("trial:Q"),
            alt.Tooltip("ms:Q", title="predicted fleet mean, ms", format=".3f"),
            alt.Tooltip("kept:Q", title="kept importance", format=".4f"),
            alt.Tooltip("flops:Q", title="FLOPs, G", format=".3f"),
        ]
        all_trials = base.mark_point(filled=True, size=34, opacity=0.35, style="quiet").encode(
            tooltip=tooltip
        )
        front = base.transform_filter("datum.front")
        line = front.mark_line(style="strong", interpolate="step-before", fillOpacity=0)
        marks = front.mark_point(filled=True, size=60, style="strong").encode(tooltip=tooltip)
        named = _named(data)
        return layered(all_trials, line, marks, *named, height=340)


def _named(data: ParetoView) -> "list[alt.Chart]":
    """The answer and uniform pruning, with their names."""
    import altair as alt

    names = [f"found (trial {data.found_number})", "uniform, same grid"]
    rows = table(
        {
            "network": np.array(names, dtype=object),
            "ms": np.array([data.found[0], data.uniform[0]]),
            "kept": np.array([data.found[1], data.uniform[1]]),
        }
    )
    base = alt.Chart(rows).encode(x="kept:Q", y="ms:Q")
    return [
        base.mark_point(filled=True, shape="diamond", size=170, style="best").encode(
            tooltip=[
                alt.Tooltip("network:N"),
                alt.Tooltip("ms:Q", title="predicted fleet mean, ms", format=".3f"),
                alt.Tooltip("kept:Q", title="kept importance", format=".4f"),
            ]
        ),
        base.mark_text(align="left", dx=9, dy=15, style="words", fontWeight="bold").encode(
            text="network:N"
        ),
    ]


def pareto_front(ms: Floats, kept: Floats) -> Bools:
    """Which of n trials no other beats in both (less `ms`, more `kept`); of equal ones the first.

    Raises NotEnoughDataError where there is no trial.
    """
    if not len(ms):
        raise NotEnoughDataError(
            "a front needs a feasible trial, but there is none: search longer or lower --floor"
        )
    return nondominated(np.stack([ms, -kept], axis=1))
