"""Every kind of picture by its name."""

from typing import TYPE_CHECKING, Any

from hdap.fleet_data.errors import NotFoundError
from hdap.plots.clusters import ClustersPicture
from hdap.plots.drift import DriftPicture
from hdap.plots.figure import Figure, Picture
from hdap.plots.fleet import FleetPicture
from hdap.plots.history import HistoryPicture
from hdap.plots.latency import LatencyPicture
from hdap.plots.layers import LayersPicture
from hdap.plots.learning import LearningPicture
from hdap.plots.levels import LevelsPicture
from hdap.plots.pareto import ParetoPicture
from hdap.plots.parity import ParityPicture
from hdap.plots.portfolio import PortfolioPicture
from hdap.plots.promise import PromisePicture
from hdap.plots.source import Source
from hdap.plots.training import TrainingPicture

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
    return picture_kind(kind).figure(Source.of(store, study, model))
