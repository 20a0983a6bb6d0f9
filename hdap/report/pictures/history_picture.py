"""How the search came to its answer: trial by trial, and the best so far."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.report.pictures.figure import Picture, layered, sample_note, sampled, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False)
class HistoryView:
    """n feasible trials, predicted: `ucb_ms` is what was minimised, `better` marks those that
    were the best so far. `uniform_ms` is uniform pruning's, `last` the last trial's number."""

    number: Ints
    ucb_ms: Floats
    better: Bools
    uniform_ms: float
    last: int
    total: int


class HistoryPicture(Picture[HistoryView]):
    """Kind `history`."""

    name = "history"
    title = "The search, trial by trial"

    def prepare(self, source: PictureSource) -> HistoryView:
        trials, problem = source.trials, source.problem
        feasible = np.flatnonzero(trials.feasible)
        values = trials.ucb_ms[feasible]
        before = np.minimum.accumulate(np.concatenate([[np.inf], values[:-1]])[: len(values)])
        better = values < before
        chosen = sampled(len(feasible), better)
        return HistoryView(
            trials.number[feasible[chosen]],
            values[chosen],
            better[chosen],
            float(problem.scores(problem.uniform[None]).value[0]),
            int(trials.number[-1]),
            len(feasible),
        )

    def says(self, data: HistoryView) -> str:
        if not len(data.number):
            return f"None of {data.last + 1:,} trials is feasible."
        best = int(data.number[data.better][-1])
        share = data.uniform_ms / float(data.ucb_ms.min())
        return (
            f"Trial {best} of {data.last + 1:,} is the last to improve, to {share:.2f} times as "
            "fast as uniform pruning by what was minimised (predicted, with a margin of doubt)."
        )

    def notes(self, data: HistoryView) -> tuple[str, ...]:
        return sample_note(len(data.number), data.total, "feasible trials (the best first)")

    def draw(self, data: HistoryView) -> "alt.LayerChart":
        import altair as alt

        scale = alt.Scale(zero=False, padding=10)
        base = alt.Chart(
            table({"trial": data.number, "ms": data.ucb_ms, "better": data.better})
        ).encode(
            x=alt.X("trial:Q", title="trial", scale=alt.Scale(domain=[0, max(data.last, 1)])),
            y=alt.Y("ms:Q", title="predicted latency with margin, ms", scale=scale),
        )
        tooltip = [
            alt.Tooltip("trial:Q"),
            alt.Tooltip("ms:Q", title="predicted with margin, ms", format=".3f"),
        ]
        best = data.better.nonzero()[0]
        steps = table(
            {
                "trial": np.append(data.number[best], data.last),
                "ms": np.append(data.ucb_ms[best], data.ucb_ms[best][-1:]),
            }
            if len(best)
            else {"trial": np.empty(0), "ms": np.empty(0)}
        )
        uniform = table(
            {
                "ms": np.array([data.uniform_ms]),
                "trial": np.array([data.last]),
                "name": np.array(["uniform, same grid"]),
            }
        )
        rule = alt.Chart(uniform)
        return layered(
            base.mark_point(filled=True, size=24, opacity=0.35, style="quiet").encode(
                tooltip=tooltip
            ),
            alt.Chart(steps)
            .mark_line(style="strong", interpolate="step-after", fillOpacity=0)
            .encode(x="trial:Q", y="ms:Q"),
            base.transform_filter("datum.better")
            .mark_point(filled=True, size=55, style="strong")
            .encode(tooltip=tooltip),
            rule.mark_rule(style="best", strokeDash=[6, 4], strokeWidth=1.5).encode(y="ms:Q"),
            rule.mark_text(align="right", dy=-7, style="words").encode(
                x="trial:Q", y="ms:Q", text="name:N"
            ),
            height=300,
        )
