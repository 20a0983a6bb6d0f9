"""How training runs went: accuracy on validation images, epoch by epoch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Floats, Ints
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt

MOST_RUNS = 8
"""Runs of one picture, the newest: more are not told apart by colour."""


@dataclass(frozen=True, eq=False)
class TrainingView:
    """n epochs of some runs, run by run: `accuracy` is a share; `runs` is how many there are."""

    run: NDArray[np.object_]
    epoch: Ints
    accuracy: Floats
    runs: int


class TrainingPicture(Picture[TrainingView]):
    """Kind `training`."""

    name = "training"
    title = "Training, epoch by epoch"

    def prepare(self, source: PictureSource) -> TrainingView:
        epochs = source.epochs
        newest: dict[str, None] = {}
        for record in sorted(epochs, key=lambda e: e.created_at, reverse=True):
            newest[record.run] = None
        shown = list(newest)[:MOST_RUNS]
        mine = [e for e in epochs if e.run in shown]
        return TrainingView(
            np.array([e.run for e in mine], dtype=object),
            np.array([e.epoch for e in mine], dtype=np.int64),
            np.array([e.accuracy for e in mine]),
            len(newest),
        )

    def says(self, data: TrainingView) -> str:
        best = int(np.nanargmax(data.accuracy)) if np.isfinite(data.accuracy).any() else None
        if best is None:
            return "No epoch has an accuracy."
        return (
            f"The best accuracy on validation images is {data.accuracy[best]:.1%}, of run "
            f"{data.run[best]} after epoch {data.epoch[best]}."
        )

    def notes(self, data: TrainingView) -> tuple[str, ...]:
        over = data.runs - MOST_RUNS
        return (f"{over:,} older runs are not drawn.",) if over > 0 else ()

    def draw(self, data: TrainingView) -> "alt.LayerChart":
        import altair as alt

        rows = table({"run": data.run, "epoch": data.epoch, "accuracy": data.accuracy})
        base = alt.Chart(rows).encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(values=_ticks(data.epoch))),
            y=alt.Y(
                "accuracy:Q",
                title="accuracy on validation images",
                axis=alt.Axis(format=".0%"),
                scale=alt.Scale(zero=False, padding=10),
            ),
            color=alt.Color("run:N", title=None),
        )
        tooltip = [
            alt.Tooltip("run:N"),
            alt.Tooltip("epoch:Q"),
            alt.Tooltip("accuracy:Q", format=".2%"),
        ]
        return layered(
            base.mark_line(fillOpacity=0),
            base.mark_point(filled=True, size=45).encode(tooltip=tooltip),
            height=260,
        )


def _ticks(epochs: Ints) -> list[int]:
    """Whole epochs, at most a dozen."""
    last = int(epochs.max())
    return list(range(1, last + 1, -(-last // 12)))
