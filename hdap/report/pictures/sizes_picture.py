"""One deadline: which device runs which network, and what one network from one device would do."""

from dataclasses import dataclass
from typing import Annotated

import altair as alt
import numpy as np

from hdap.fleet_data.errors import InfeasibleError, NotEnoughDataError, NotFoundError
from hdap.fleet_data.records import Bools, Floats, Ints, StudyRecord
from hdap.fleet_data.wording import counted, kept, percent
from hdap.report.pictures.figure import Picture, sample_note, sampled
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.view import Shown, Text, View, layered, named_line
from hdap.requests.search_request import request_of
from hdap.search.sizes.desk import TYPICAL, DeskNetwork, desk_networks
from hdap.search.sizes.sizes_problem import SizesProblem
from hdap.workflows.assign_devices import sized_study
from hdap.workflows.search_sizes import stored_sizes_problem


@dataclass(frozen=True, eq=False)
class SizesView(View):
    """Devices by `rank`, the fastest first, each twice: with the network that it runs and with the
    one that is sized on the typical device (`one`). `late` is the share of the fleet on which that
    one misses `deadline_ms`; `quality` and `one_kept` are what the average device keeps."""

    rank: Annotated[Ints, Shown("devices, the fastest first", ",")]
    latency: Annotated[Floats, Shown("latency, predicted, ms", ".2f")]
    network: Annotated[Text, Shown()]
    device: Annotated[Text, Shown()]
    one: Annotated[Bools, Shown(hover=False)]
    deadline_ms: float
    networks: int
    quality: float
    late: float
    one_kept: float
    total: int


class SizesPicture(Picture[SizesView]):
    """Kind `sizes`."""

    name = "sizes"
    title = "One deadline, several networks: who runs which"

    def prepare(self, source: PictureSource) -> SizesView:
        study = _study(source)
        stored = source.store.assignments(study.id)
        asked = stored_sizes_problem(source.store, study)
        trials = source.store.trials(study.id)
        keeps = dict(zip(trials.number.tolist(), trials.kept_importance.tolist(), strict=True))
        quality = np.array([keeps[n] for n in stored.number.tolist()])
        desk = _of_the_typical_device(asked)
        seen = asked.networks.latency.predict(
            np.stack([desk.counts, asked.networks.architecture.widths])
        )
        at = stored.cluster
        desk_ms, dense_ms = (np.exp(seen.log_ms[row, at]) * stored.factor for row in (0, 1))
        order = np.argsort(dense_ms, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        few = order[sampled(len(order), np.zeros(len(order), dtype=np.bool_))]
        named = [f"trial {n}, keeps {kept(keeps[n])}" for n in stored.number[few].tolist()]
        one = f"crosses: sized on the {desk.title}"
        both = np.array([*named, *[one] * len(few)])
        numbers = np.unique(stored.number)
        return SizesView(
            np.tile(rank[few], 2),
            np.append(stored.latency_ms[few], desk_ms[few]),
            both,
            np.tile(stored.device_ids[few], 2),
            np.repeat([False, True], len(few)),
            asked.deadline_ms,
            len(numbers),
            float(quality.mean()),
            desk.late,
            desk.kept,
            len(order),
        )

    def says(self, data: SizesView) -> str:
        return (
            f"One network sized on the typical device keeps {kept(data.one_kept)} and is late on "
            f"{percent(data.late, 0)} of the fleet; {counted(data.networks, 'network')} keep "
            f"{kept(data.quality)} on the average of {data.total:,} devices within "
            f"{data.deadline_ms:g} ms (predicted)."
        )

    def notes(self, data: SizesView) -> tuple[str, ...]:
        return sample_note(len(data.rank) // 2, data.total, "devices")

    def draw(self, data: SizesView) -> alt.LayerChart:
        x = data.x("rank", scale=alt.Scale(zero=False, nice=False, padding=12))
        y = data.y("latency", scale=alt.Scale(nice=False, padding=12))
        points = data.chart().encode(x=x, y=y, tooltip=data.hover())
        mine = points.transform_filter("!datum.one")
        other = points.transform_filter("datum.one")
        legend = alt.Legend(title="runs")
        return layered(
            other.mark_point(shape="cross", size=45, style="quiet", filled=True, opacity=0.7),
            other.transform_filter("datum.rank == 1")
            .mark_text(align="left", dy=-34, style="words")
            .encode(text="network:N"),
            mine.mark_point(filled=True, size=85).encode(
                color=alt.Color("network:N", legend=legend)
            ),
            *named_line("latency:Q", data.deadline_ms, "deadline"),
            height=320,
        )


def _study(source: PictureSource) -> StudyRecord:
    """The study of the picture where it has several networks, else the newest that has."""
    if source.study is not None and request_of(source.study).networks is not None:
        return source.study
    try:
        return sized_study(source.store, None)
    except NotFoundError:
        raise NotEnoughDataError(
            "several networks must be found for a deadline to be shown, but were not: hdap search "
            f"--model {source.model or 'MODEL'} --latency 20ms --networks auto"
        ) from None


def _of_the_typical_device(asked: SizesProblem) -> DeskNetwork:
    for desk in desk_networks(asked):
        if desk.title == TYPICAL:
            return desk
    raise InfeasibleError(
        f"some network must be in time on the typical device to be compared with several, but "
        f"within {asked.deadline_ms:g} ms none was found: raise --latency, or lower --floor or "
        f"--min-width"
    )
