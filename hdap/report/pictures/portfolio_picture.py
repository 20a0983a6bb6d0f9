"""What the variants of a portfolio cost and are worth."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, PortfolioRecord
from hdap.report.pictures.figure import Picture, layered, table
from hdap.report.pictures.picture_source import PictureSource

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False)
class PortfolioView:
    """n variants: what each costs (`cost`, in what `cost_title` says) and how good it is
    (`quality`, a share that `quality_title` names)."""

    variant: NDArray[np.object_]
    cost: Floats
    quality: Floats
    megabytes: Floats
    cost_title: str
    quality_title: str


class PortfolioPicture(Picture[PortfolioView]):
    """Kind `portfolio`."""

    name = "portfolio"
    title = "The variants of the portfolio"

    def prepare(self, source: PictureSource) -> PortfolioView:
        found = source.portfolio
        cost, cost_title = _cost(found)
        accuracy = np.array([v.accuracy for v in found.variants])
        judged = bool(np.isfinite(accuracy).all())
        kept = np.array([v.kept_importance for v in found.variants])
        if not judged and not np.isfinite(kept).all():
            raise NotEnoughDataError(
                "variants need accuracies to be drawn, but were not judged: "
                "hdap portfolio build --data ..."
            )
        return PortfolioView(
            np.array([v.variant for v in found.variants], dtype=object),
            cost,
            accuracy if judged else kept,
            np.array([v.bytes / 1e6 for v in found.variants]),
            cost_title,
            "accuracy on validation images" if judged else "kept importance",
        )

    def says(self, data: PortfolioView) -> str:
        low, high = int(data.cost.argmin()), int(data.cost.argmax())
        return (
            f"From {data.variant[low]} to {data.variant[high]}: {data.cost_title} from "
            f"{data.cost[low]:.3g} to {data.cost[high]:.3g}, {data.quality_title} from "
            f"{data.quality[low]:.1%} to {data.quality[high]:.1%}."
        )

    def draw(self, data: PortfolioView) -> "alt.LayerChart":
        import altair as alt

        columns = {"variant": data.variant, "cost": data.cost, "quality": data.quality}
        base = alt.Chart(table(columns | {"mb": data.megabytes})).encode(
            x=alt.X("cost:Q", title=data.cost_title, scale=alt.Scale(zero=False, padding=25)),
            y=alt.Y(
                "quality:Q",
                title=data.quality_title,
                axis=alt.Axis(format=".0%"),
                scale=alt.Scale(zero=False, padding=15),
            ),
        )
        return layered(
            base.mark_line(style="quiet", strokeWidth=1.2, fillOpacity=0),
            base.mark_point(filled=True, size=90, style="strong").encode(
                tooltip=[
                    alt.Tooltip("variant:N"),
                    alt.Tooltip("cost:Q", title=data.cost_title, format=".3f"),
                    alt.Tooltip("quality:Q", title=data.quality_title, format=".2%"),
                    alt.Tooltip("mb:Q", title="MB", format=".2f"),
                ]
            ),
            base.mark_text(dy=-11, style="words").encode(text="variant:N"),
            height=260,
        )


def _cost(found: PortfolioRecord) -> tuple[Floats, str]:
    """The best that is known of what variants cost, and its name."""
    fleet = np.array([v.fleet_mean_ms for v in found.variants])
    if np.isfinite(fleet).all():
        return fleet, "fleet mean, predicted, ms"
    here = np.array([v.measured_here_ms for v in found.variants])
    if np.isfinite(here).all():
        return here, "latency where it was made, measured, ms"
    return np.array([v.flops / 1e6 for v in found.variants]), "MFLOPs"
