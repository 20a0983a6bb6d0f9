import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path

import altair as alt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hdap.fleet_data.errors import InputError, NotEnoughDataError, NotFoundError
from hdap.fleet_data.store import Store
from hdap.report.pictures.figure import MOST_POINTS, SIMULATED, Figure, sampled
from hdap.report.pictures.looks import DARK, LIGHT, LOOKS, PAGE
from hdap.report.pictures.pareto_picture import pareto_front
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import PICTURES, picture


@pytest.fixture(scope="module")
def source(full: Path) -> Iterator[PictureSource]:
    with Store.open(str(full), read_only=True) as store:
        yield PictureSource.of(store)


@pytest.fixture(scope="module")
def figures(source: PictureSource) -> dict[str, Figure]:
    return {name: kind.figure(source) for name, kind in PICTURES.items()}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_from_a_frozen_record(source: PictureSource, name: str) -> None:
    data = PICTURES[name].prepare(source)
    assert is_dataclass(data)
    with pytest.raises(FrozenInstanceError):
        setattr(data, fields(data)[0].name, None)


@pytest.mark.parametrize("name", PICTURES)
def test_what_a_mark_says_on_hover_is_titled_and_is_in_its_rows(
    source: PictureSource, name: str
) -> None:
    data = PICTURES[name].prepare(source)
    told = [tooltip.to_dict() for tooltip in data.hover()]
    (rows,) = data.chart().mark_point().to_dict()["datasets"].values()
    assert told
    assert all({tooltip["field"] for tooltip in told} <= set(row) for row in rows)
    assert all(tooltip["title"] and "{" not in tooltip["title"] for tooltip in told)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_vega_lite_knows(figures: dict[str, Figure], name: str) -> None:
    alt.LayerChart.from_dict(figures[name].spec(), validate=True)


@pytest.mark.parametrize("name", PICTURES)
def test_axes_are_titled_marks_answer_and_one_sentence_tells_what_to_see(
    figures: dict[str, Figure], name: str
) -> None:
    figure = figures[name]
    spec = figure.spec()
    channels = [layer["encoding"] for layer in spec["layer"] if "encoding" in layer]
    for axis in ("x", "y"):
        titles = [c[axis]["title"] for c in channels if "title" in c.get(axis, {})]
        assert any(titles) or (name, axis) == ("layers", "y")
    assert any("tooltip" in c for c in channels)
    assert figure.says.endswith(".")
    assert spec["title"]["text"] == figure.title
    assert " ".join(spec["title"]["subtitle"]).startswith(figure.says[:40])


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_simulated_data_says_so_with_and_without_words(
    figures: dict[str, Figure], name: str
) -> None:
    figure = replace(figures[name], simulated=True)
    assert SIMULATED in str(figure.spec()["title"])
    assert SIMULATED in str(figure.spec(words=False)["title"])
    assert SIMULATED not in str(figures[name].spec())


@pytest.mark.parametrize("name", PICTURES)
def test_specifications_name_roles_and_no_colours(figures: dict[str, Figure], name: str) -> None:
    assert (
        "#"
        not in str({k: v for k, v in figures[name].spec().items() if k != "$schema"}).replace(
            "'#", ""
        )
        or name == "fleet"
    )  # a device may be called anything
    for look in LOOKS.values():
        assert figures[name].svg(look).startswith("<svg")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_pictures_are_written_as_what_their_suffix_says(
    figures: dict[str, Figure], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"p{suffix}"
    figures["pareto"].write(path, DARK)
    start = {".png": b"\x89PNG", ".svg": b"<svg", ".html": b"<!doctype html>"}[suffix]
    assert path.read_bytes().startswith(start)


def test_another_suffix_or_folder_is_refused(figures: dict[str, Figure], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.png"):
        figures["pareto"].write(tmp_path / "p.gif")
    with pytest.raises(InputError, match="create it"):
        figures["pareto"].write(tmp_path / "no" / "p.png")


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_not_there_yet_is_refused_with_the_command_that_makes_it(
    tmp_path: Path, name: str
) -> None:
    with (
        Store.open(str(tmp_path / "hdap.db")) as store,
        pytest.raises((NotEnoughDataError, NotFoundError), match="hdap "),
    ):
        picture(store, name)


def test_unknown_names_are_refused(full: Path) -> None:
    with Store.open(str(full), read_only=True) as store:
        with pytest.raises(InputError, match="pareto"):
            picture(store, "pie")
        with pytest.raises(NotFoundError, match="<i>first</i>"):
            picture(store, "pareto", study="second")
        with pytest.raises(NotFoundError, match="resnet50"):
            picture(store, "fleet", model="resnet18")


def test_a_notebook_shows_a_figure(figures: dict[str, Figure]) -> None:
    assert figures["history"]._repr_svg_().startswith("<svg")


def test_the_latency_curves_have_the_means_of_the_answer(source: PictureSource) -> None:
    curves = PICTURES["latency"].prepare(source)
    rows = [source.answer.found, source.answer.uniform, source.answer.dense]
    assert curves.mean == pytest.approx([r.fleet_mean_ms for r in rows])
    ms = curves.ms.reshape(len(rows), -1)
    assert ms.mean(axis=1) == pytest.approx(curves.mean, rel=0.02)
    assert (np.diff(ms, axis=1) >= 0).all()


def test_the_times_of_the_layers_add_up_to_the_fleet_mean(source: PictureSource) -> None:
    view = PICTURES["layers"].prepare(source)
    assert view.found_ms.sum() == pytest.approx(source.answer.found.fleet_mean_ms)
    assert view.dense_ms.sum() == pytest.approx(source.answer.dense.fleet_mean_ms)


def test_the_search_history_ends_at_the_best_trial(source: PictureSource) -> None:
    view = PICTURES["history"].prepare(source)
    assert view.ucb_ms[view.better][-1] == view.ucb_ms.min()
    assert (np.diff(view.ucb_ms[view.better]) < 0).all()


def test_drift_names_the_cluster_that_grew_slower(source: PictureSource) -> None:
    assert "Cluster 0 changed" in PICTURES["drift"].says(PICTURES["drift"].prepare(source))


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            *(arrays.arrays(np.float64, n, elements=st.integers(1, 9)) for _ in range(2))
        )
    )
)
def test_the_front_is_what_no_other_trial_beats(points: tuple[np.ndarray, np.ndarray]) -> None:
    ms, kept = points
    front = pareto_front(ms, kept)
    beaten = (ms[None] <= ms[:, None]) & (kept[None] >= kept[:, None])
    beaten &= (ms[None] < ms[:, None]) | (kept[None] > kept[:, None])
    assert not (front & beaten.any(axis=1)).any()
    found = {(a, b) for a, b in zip(ms[front], kept[front], strict=True)}
    assert len(found) == front.sum()
    assert found == {
        (a, b)
        for a, b in zip(ms, kept, strict=True)
        if (a, b) not in {(ms[i], kept[i]) for i in np.flatnonzero(beaten.any(axis=1))}
    }


def test_of_a_large_fleet_a_sample_is_drawn_that_holds_what_matters() -> None:
    keep = np.zeros(100_000, dtype=bool)
    keep[[5, 99_999]] = True
    chosen = sampled(100_000, keep)
    assert len(chosen) == MOST_POINTS == len(np.unique(chosen))
    assert {5, 99_999} <= set(chosen.tolist())
    assert (sampled(100_000, keep) == chosen).all()
    assert len(sampled(10, keep[:10])) == 10


def test_a_sample_is_called_one(source: PictureSource) -> None:
    kind = PICTURES["fleet"]
    data = replace(kind.prepare(source), total=100_000, asked=100_000, known=100_000)
    assert kind.notes(data) == ("24 of 100,000 devices (outliers first) are drawn.",)


def test_devices_that_never_told_the_second_axis_are_counted(source: PictureSource) -> None:
    kind = PICTURES["fleet"]
    assert kind.notes(kind.prepare(source)) == (
        "1 devices never told their median CPU load, % and are left out.",
    )


def test_how_good_surrogates_are_is_read_and_not_computed_again(
    full: Path, source: PictureSource, tmp_path: Path
) -> None:
    db = tmp_path / "hdap.db"
    with sqlite3.connect(full) as connection, sqlite3.connect(db) as copy:
        connection.backup(copy)
        copy.execute("DELETE FROM all_measurements")
    with Store.open(str(db)) as store:
        emptied = PictureSource.of(store, source.searched.name)
        for name in ("parity", "learning"):
            kind = PICTURES[name]
            assert kind.says(kind.prepare(emptied)) == kind.says(kind.prepare(source))
        with sqlite3.connect(db) as copy:  # as a release made it that kept nothing
            copy.execute("DELETE FROM held_out")
        with pytest.raises(NotEnoughDataError, match="hdap fit --model resnet50"):
            PICTURES["learning"].prepare(PictureSource.of(store, source.searched.name))


def test_series_of_all_looks_are_as_many_and_differ() -> None:
    assert len(PAGE.series) == len(LIGHT.series) == len(DARK.series) == len(set(DARK.series))


def test_preparing_loads_no_torch(full: Path) -> None:
    code = (
        "import sys\n"
        "from hdap.fleet_data.store import Store\n"
        "from hdap.report.pictures.registry import PICTURES\n"
        "from hdap.report.pictures.picture_source import PictureSource\n"
        "with Store.open(sys.argv[1], read_only=True) as store:\n"
        "    source = PictureSource.of(store)\n"
        "    for kind in PICTURES.values():\n"
        "        kind.prepare(source)\n"
        "print(sorted({'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(full)], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
