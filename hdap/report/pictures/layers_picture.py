"""Which layers bought the speed: time and channels of each, dense against found."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import layer_channels, layer_macs
from hdap.fleet_data.records import Floats
from hdap.fleet_data.wording import percent
from hdap.report.pictures.figure import Picture
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Text, View, layered
from hdap.search.problem.search_problem import LatencyModel
from hdap.surrogate.models.fleet_model import FleetModel

MOST_LAYERS = 60
"""Layers that are drawn: those that take the most time in the dense network."""
ROW = 13
LABELS = alt.Axis(labelLimit=120, labelOverlap=False, labelFontSize=9)
"""Every bar has its own."""


@dataclass(frozen=True, eq=False)
class LayersView(View):
    """L layers in module order: `*_ms` of the fleet mean, predicted, `channels` in words.

    `by` says what the time was divided by: the surrogate's cost model, or FLOPs.
    """

    layer: Annotated[Text, Shown()]
    channels: Annotated[Text, Shown("output channels kept")]
    kept: Annotated[Floats, Shown("share kept", ".0%")]
    dense_ms: Annotated[Floats, Shown("dense, predicted ms", ".3f")]
    found_ms: Annotated[Floats, Shown("found, predicted ms", ".3f")]
    by: str
    layers: int


class LayersPicture(Picture[LayersView]):
    """Kind `layers`."""

    name = "layers"
    title = "Which layers bought the speed"

    def prepare(self, source: PictureSource) -> LayersView:
        problem, answer = source.problem, source.answer
        architecture = problem.architecture
        counts = np.stack([architecture.widths, answer.found.counts])
        computing = [i for i, x in enumerate(architecture.layers) if x.computes]
        shares, by = layer_shares(architecture, problem.latency, counts)
        whole = np.array([answer.dense.fleet_mean_ms, answer.found.fleet_mean_ms])
        ms = shares * whole[:, None]
        chosen = np.sort(ms[0].argsort()[::-1][:MOST_LAYERS])
        dense, found = layer_channels(architecture, counts)[1][:, computing][:, chosen]
        return LayersView(
            np.array([architecture.layers[computing[i]].name for i in chosen]),
            np.array([f"{kept} of {all_}" for kept, all_ in zip(found, dense, strict=True)]),
            found / dense,
            ms[0, chosen],
            ms[1, chosen],
            by,
            len(computing),
        )

    def says(self, data: LayersView) -> str:
        saved = data.dense_ms - data.found_ms
        most = saved.argsort()[::-1][:3]
        share = saved[most].sum() / saved.sum()
        return (
            f"{', '.join(str(n) for n in data.layer[most])} save the most, {percent(share, 0)} of "
            f"all that is saved; a bar is a layer's predicted share of the fleet's mean, by "
            f"{data.by}."
        )

    def notes(self, data: LayersView) -> tuple[str, ...]:
        if data.layers == len(data.layer):
            return ()
        return (f"The {len(data.layer)} slowest of {data.layers} layers are drawn.",)

    def draw(self, data: LayersView) -> alt.LayerChart:
        title = "predicted, ms of the fleet mean (pale: dense)"
        layer = data.y("layer", sort=None, title=None, axis=LABELS)
        base = data.chart().encode(y=layer, tooltip=data.hover())
        return layered(
            base.mark_bar(style="quiet", opacity=0.3, height=10).encode(
                x=data.x("dense_ms", title=title)
            ),
            base.mark_bar(style="strong", height=6).encode(x="found_ms:Q"),
            base.mark_text(align="left", dx=5, style="words", fontSize=9).encode(
                x="dense_ms:Q", text="channels:N"
            ),
            height=ROW * len(data.layer),
        )


def layer_shares(
    architecture: Architecture, latency: LatencyModel, counts: Counts
) -> tuple[Floats, str]:
    """Share of the predicted time of each convolution and linear layer, `n x layers`, and by what.

    Of a surrogate that knows no layers, the share of FLOPs.
    """
    if isinstance(latency, FleetModel):
        _, features = latency.priced(counts)
        return features[:, len(latency.parameters.costs) :], "the surrogate's cost model"
    computing = [i for i, x in enumerate(architecture.layers) if x.computes]
    macs = layer_macs(architecture, counts)[:, computing].astype(np.float64)
    return macs / macs.sum(axis=1, keepdims=True), "FLOPs (the surrogate knows no layers)"
