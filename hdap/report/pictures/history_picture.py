"""How the search came to its answer: trial by trial, and the best so far."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.wording import times
from hdap.report.pictures.figure import Picture, sample_note, sampled
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Silent, View, chart, layered, named_line


@dataclass(frozen=True, eq=False)
class HistoryView(View):
    """n feasible trials, predicted: `ucb_ms` is what was minimised, `better` marks those that
    were the best so far. `uniform_ms` is uniform pruning's, `last` the last trial's number."""

    trial: Annotated[Ints, Shown()]
    ucb_ms: Annotated[Floats, Shown("predicted latency with margin, ms", ".3f")]
    better: Annotated[Bools, Silent]
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
            float(problem.scores(problem.best_uniform.counts[None]).value[0]),
            int(trials.number[-1]),
            len(feasible),
        )

    def says(self, data: HistoryView) -> str:
        if not len(data.trial):
            return f"None of {data.last + 1:,} trials is feasible."
        best = int(data.trial[data.better][-1])
        share = data.uniform_ms / float(data.ucb_ms.min())
        return (
            f"Trial {best} of {data.last + 1:,} is the last to improve, to {times(share)} as fast "
            "as the best uniform network by what was minimised (predicted, with a margin of doubt)."
        )

    def notes(self, data: HistoryView) -> tuple[str, ...]:
        return sample_note(len(data.trial), data.total, "feasible trials (the best first)")

    def draw(self, data: HistoryView) -> alt.LayerChart:
        base = data.chart().encode(
            x=data.x("trial", scale=alt.Scale(domain=[0, max(data.last, 1)])),
            y=data.y("ucb_ms", scale=alt.Scale(zero=False, padding=10)),
            tooltip=data.hover(),
        )
        best = data.ucb_ms[data.better]
        ends = [data.last] * bool(len(best))
        steps = chart(trial=[*data.trial[data.better], *ends], ucb_ms=[*best, *best[-1:]])
        return layered(
            base.mark_point(filled=True, size=24, opacity=0.35, style="quiet"),
            steps.mark_line(style="strong", interpolate="step-after", fillOpacity=0).encode(
                x="trial:Q", y="ucb_ms:Q"
            ),
            base.transform_filter("datum.better").mark_point(filled=True, size=55, style="strong"),
            *named_line("ucb_ms:Q", data.uniform_ms, "best uniform"),
            height=300,
        )
