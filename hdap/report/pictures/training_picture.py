"""How training runs went: accuracy on validation images, epoch by epoch."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.records import EpochRecord, Floats, Ints
from hdap.fleet_data.wording import percent
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Text, View, gathered, layered

MOST_RUNS = 8
"""Runs of one picture, the newest: more are not told apart by colour."""


@dataclass(frozen=True, eq=False)
class TrainingView(View):
    """n epochs of some runs, run by run: `accuracy` is a share; `runs` is how many there are."""

    run: Annotated[Text, Shown()]
    epoch: Annotated[Ints, Shown()]
    accuracy: Annotated[Floats, Shown("accuracy on validation images", ".2%")]
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
        epoch, accuracy = gathered(mine, "epoch", "accuracy")
        run = np.array([training_label(e) for e in mine])
        return TrainingView(run, epoch, accuracy, len(newest))

    def says(self, data: TrainingView) -> str:
        best = int(np.nanargmax(data.accuracy)) if np.isfinite(data.accuracy).any() else None
        if best is None:
            return "No epoch has an accuracy."
        return (
            f"The best accuracy on validation images is {percent(data.accuracy[best])}, of run "
            f"{data.run[best]} after epoch {data.epoch[best]}."
        )

    def notes(self, data: TrainingView) -> tuple[str, ...]:
        over = data.runs - MOST_RUNS
        return (f"{over:,} older runs are not drawn.",) if over > 0 else ()

    def draw(self, data: TrainingView) -> alt.LayerChart:
        scale = alt.Scale(zero=False, padding=10)
        base = data.chart().encode(
            x=data.x("epoch", axis=alt.Axis(values=_ticks(data.epoch), format="d")),
            y=data.y("accuracy", axis=alt.Axis(format=".0%"), scale=scale),
            color=alt.Color("run:N", title=None),
        )
        return layered(
            base.mark_line(fillOpacity=0),
            base.mark_point(filled=True, size=45).encode(tooltip=data.hover()),
            height=260,
        )


def training_label(epoch: EpochRecord) -> str:
    """The run of an epoch, with what stands in accuracy's place where something does."""
    _, colon, name = epoch.metric.rpartition(":")
    return f"{epoch.run} ({name})" if colon else epoch.run


def _ticks(epochs: Ints) -> list[int]:
    """Whole epochs, at most a dozen."""
    last = int(epochs.max())
    return list(range(1, last + 1, -(-last // 12)))
