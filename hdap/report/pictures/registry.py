"""Every kind of picture by its name."""

from typing import TYPE_CHECKING, Any

from hdap.fleet_data.errors import NotFoundError
from hdap.report.pictures.clusters_picture import ClustersPicture
from hdap.report.pictures.drift_picture import DriftPicture
from hdap.report.pictures.figure import Figure, Picture
from hdap.report.pictures.fleet_picture import FleetPicture
from hdap.report.pictures.history_picture import HistoryPicture
from hdap.report.pictures.latency_picture import LatencyPicture
from hdap.report.pictures.layers_picture import LayersPicture
from hdap.report.pictures.learning_picture import LearningPicture
from hdap.report.pictures.levels_picture import LevelsPicture
from hdap.report.pictures.pareto_picture import ParetoPicture
from hdap.report.pictures.parity_picture import ParityPicture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.portfolio_picture import PortfolioPicture
from hdap.report.pictures.promise_picture import PromisePicture
from hdap.report.pictures.training_picture import TrainingPicture

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

PICTURES: dict[str, Picture[Any]] = {
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
        PromisePicture(),
        TrainingPicture(),
        LevelsPicture(),
        PortfolioPicture(),
        DriftPicture(),
    )
}


def picture_kind(name: str) -> Picture[Any]:
    """The registered picture; NotFoundError with the known names otherwise."""
    if name not in PICTURES:
        raise NotFoundError(
            f"the picture must be one of {', '.join(PICTURES)}, but got kind={name!r}"
        )
    return PICTURES[name]


def picture(
    store: "Store", kind: str, study: str | None = None, model: str | None = None
) -> Figure:
    """A figure of what a database holds, of the named study or the newest one.

    Raises NotFoundError for an unknown kind, study or model, NotEnoughDataError where the database
    does not hold what the picture shows yet.
    """
    return picture_kind(kind).figure(PictureSource.of(store, study, model))
