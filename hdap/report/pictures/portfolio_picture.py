"""What the variants of a portfolio cost and are worth."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, PortfolioRecord
from hdap.fleet_data.wording import number, percent
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Text, View, gathered, layered


@dataclass(frozen=True, eq=False)
class PortfolioView(View):
    """n variants: what each costs (`cost`, in what `cost_title` says) and how good it is
    (`quality`, a share that `quality_title` names)."""

    variant: Annotated[Text, Shown()]
    cost: Annotated[Floats, Shown("{cost_title}", ".3f")]
    quality: Annotated[Floats, Shown("{quality_title}", ".2%")]
    megabytes: Annotated[Floats, Shown("MB", ".2f")]
    cost_title: str
    quality_title: str


class PortfolioPicture(Picture[PortfolioView]):
    """Kind `portfolio`."""

    name = "portfolio"
    title = "The variants of the portfolio"

    def prepare(self, source: PictureSource) -> PortfolioView:
        found = source.portfolio
        cost, cost_title = _cost(found)
        variant, size = gathered(found.variants, "variant", "bytes")
        accuracy, kept = gathered(found.variants, "accuracy", "kept_importance")
        judged = bool(np.isfinite(accuracy).all())
        if not judged and not np.isfinite(kept).all():
            raise NotEnoughDataError(
                "variants need accuracies to be drawn, but were not judged: "
                "hdap portfolio build --data ..."
            )
        return PortfolioView(
            variant,
            cost,
            accuracy if judged else kept,
            size / 1e6,
            cost_title,
            "accuracy on validation images" if judged else "kept importance",
        )

    def says(self, data: PortfolioView) -> str:
        low, high = int(data.cost.argmin()), int(data.cost.argmax())
        return (
            f"From {data.variant[low]} to {data.variant[high]}: {data.cost_title} from "
            f"{number(data.cost[low])} to {number(data.cost[high])}, {data.quality_title} from "
            f"{percent(data.quality[low])} to {percent(data.quality[high])}."
        )

    def draw(self, data: PortfolioView) -> alt.LayerChart:
        scale = alt.Scale(zero=False, padding=15)
        base = data.chart().encode(
            x=data.x("cost", scale=alt.Scale(zero=False, padding=25)),
            y=data.y("quality", axis=alt.Axis(format=".0%"), scale=scale),
        )
        return layered(
            base.mark_line(style="quiet", strokeWidth=1.2, fillOpacity=0),
            base.mark_point(filled=True, size=90, style="strong").encode(tooltip=data.hover()),
            base.mark_text(dy=-11, style="words").encode(text="variant:N"),
            height=260,
        )


def _cost(found: PortfolioRecord) -> tuple[Floats, str]:
    """The best that is known of what variants cost, and its name."""
    fleet, here, cost = gathered(found.variants, "fleet_mean_ms", "measured_here_ms", "flops")
    if np.isfinite(fleet).all():
        return fleet, "fleet mean, predicted, ms"
    if np.isfinite(here).all():
        return here, "latency where it was made, measured, ms"
    return cost / 1e6, "MFLOPs"
