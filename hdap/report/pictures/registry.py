"""Every kind of picture by its name."""

from functools import partial
from typing import Any

from hdap.fleet_data.plugins import Registry
from hdap.fleet_data.store import Store
from hdap.report.pictures.clusters_picture import ClustersPicture
from hdap.report.pictures.drift_picture import DriftPicture
from hdap.report.pictures.figure import Figure, Picture
from hdap.report.pictures.fleet_picture import FleetPicture
from hdap.report.pictures.history_picture import HistoryPicture
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.latency_picture import LatencyPicture
from hdap.report.pictures.layers_picture import LayersPicture
from hdap.report.pictures.learning_picture import LearningPicture
from hdap.report.pictures.levels_picture import LevelsPicture
from hdap.report.pictures.pareto_picture import ParetoPicture
from hdap.report.pictures.parity_picture import ParityPicture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.portfolio_picture import PortfolioPicture
from hdap.report.pictures.promise_picture import PromisePicture
from hdap.report.pictures.sizes_picture import SizesPicture
from hdap.report.pictures.training_picture import TrainingPicture

PICTURES: Registry[Picture[Any]] = Registry(
    "the picture",
    "pictures",
    {
        picture.name: picture
        for picture in (
            FleetPicture(),
            ClustersPicture(),
            LatencyPicture(),
            ParityPicture(),
            LearningPicture(),
            HistoryPicture(),
            ParetoPicture(),
            LayersPicture(),
            SizesPicture(),
            PromisePicture(),
            TrainingPicture(),
            LevelsPicture(),
            PortfolioPicture(),
            DriftPicture(),
        )
    },
)


def draw(chapter: Chapter, source: PictureSource, *kinds: str) -> None:
    """Add pictures to a chapter as far as the database holds what they show."""
    for kind in kinds:
        figure = chapter.attempt(partial(PICTURES[kind].figure, source))
        if figure is not None:
            chapter.parts.append(figure)


def picture(store: Store, kind: str, study: str | None = None, model: str | None = None) -> Figure:
    """A figure of what a database holds, of the named study or the newest one.

    Raises InputError for an unknown kind, NotFoundError for a study or model that is not there,
    NotEnoughDataError where the database does not hold what the picture shows yet.
    """
    return PICTURES[kind].figure(PictureSource.of(store, study, model))
