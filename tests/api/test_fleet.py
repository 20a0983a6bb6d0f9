import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import hdap
from hdap.fleet_data.errors import (
    HdapError,
    InputError,
    NotEnoughDataError,
    NotFoundError,
    StoreError,
)

Told = list[tuple[str, int, int | None]]


@pytest.fixture(scope="module")
def told() -> Told:
    return []


@pytest.fixture(scope="module")
def fleet(
    fresh: Callable[[Path], Path],
    fleet_file: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    told: Told,
) -> Iterator[hdap.Fleet]:
    db = fresh(tmp_path_factory.mktemp("api") / "fleet.db")
    with hdap.Fleet(db, progress=lambda *step: told.append(step)) as fleet:
        fleet.ingest(fleet_file("resnet50"))
        yield fleet


@pytest.fixture(scope="module")
def found(fleet: hdap.Fleet) -> hdap.Found:
    return fleet.search("resnet50", flops="1.0G", trials=150, study="first")


@pytest.fixture(scope="module")
def rows(fleet_file: Callable[[str], Path]) -> pl.DataFrame:
    return pl.read_csv(fleet_file("resnet50"), schema_overrides={"channels": pl.String})


def test_a_fleet_opens_nothing_before_it_is_asked(tmp_path: Path) -> None:
    fleet = hdap.Fleet(tmp_path / "fleet.db")
    assert not (tmp_path / "fleet.db").exists()
    with pytest.raises(StoreError, match="there is no database"):
        fleet.sql("SELECT 1")
    assert repr(fleet).startswith("Fleet(url=")


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow", "timed"])
def test_frames_of_every_kind_bring_the_rows_of_the_file(
    kind: str, fresh: Callable[[Path], Path], rows: pl.DataFrame, tmp_path: Path
) -> None:
    timed = rows.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    frames: dict[str, pl.DataFrame | pd.DataFrame | pa.Table] = {
        "polars": rows,
        "pandas": rows.to_pandas(),
        "pyarrow": rows.to_arrow(),
        "timed": timed,
    }
    with hdap.Fleet(fresh(tmp_path / "fleet.db")) as fleet:
        report = fleet.ingest(frames[kind])
        assert (report.rows, report.added, report.rejected) == (len(rows), 1440, {})
        again = fleet.ingest(rows)
        assert (again.added, again.known) == (0, len(rows))
        assert again.rejected_rows.is_empty()


def test_a_frame_with_names_of_its_own_is_read_by_what_is_said_of_them(
    fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    frame = pl.DataFrame({"serial": ["a"], "net": ["ResNet-50"], "duration_us": [12_500.0]})
    with hdap.Fleet(fresh(tmp_path / "fleet.db")) as fleet:
        with pytest.raises(
            InputError, match=r"missing: device_id, model, latency_ms, got .serial,net"
        ):
            fleet.ingest(frame)
        columns, models = {"net": "model"}, {"ResNet-50": "resnet50"}
        with pytest.raises(InputError, match=r"agree with --yes to .*serial=device_id"):
            fleet.ingest(frame, columns=columns, models=models)
        report = fleet.ingest(frame, columns=columns, models=models, agreed=True)
        assert (report.added, report.models) == (1, ("resnet50",))
        assert fleet.store().measurements().latency_ms.tolist() == [12.5]


def test_a_bad_row_of_a_frame_comes_back_and_the_others_enter(
    fresh: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(
        {
            "device_id": ["a", "b", "c"],
            "model": ["resnet50"] * 3,
            "latency_ms": [10.0, -1.0, float("nan")],
            "power_w": [float("nan"), 3.0, 3.0],
        }
    )
    with hdap.Fleet(fresh(tmp_path / "fleet.db")) as fleet:
        report = fleet.ingest(frame)
    assert (report.rows, report.added, sum(report.rejected.values())) == (3, 1, 2)
    assert report.rejected_rows["line"].to_list() == [2, 3]
    assert report.rejected_rows["column"].to_list() == ["latency_ms", "latency_ms"]
    assert [p.name for p in tmp_path.iterdir() if "rejected" in p.name] == []


def test_what_is_no_table_or_lacks_columns_is_refused(
    fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    with hdap.Fleet(fresh(tmp_path / "fleet.db")) as fleet:
        with pytest.raises(InputError, match="convert it"):
            fleet.ingest(object())
        with pytest.raises(InputError, match="must have the columns"):
            fleet.ingest(pl.DataFrame({"device": ["a"]}))
        nested = pl.DataFrame(
            {"device_id": ["a"], "model": ["m"], "latency_ms": [1.0], "tags": [["x"]]}
        )
        with pytest.raises(InputError, match="plain columns, tags"):
            fleet.ingest(nested)
        with pytest.raises(NotEnoughDataError, match="hdap ingest"):
            fleet.search("resnet50", flops="1.0G")


def test_the_answer_is_that_of_the_stored_study(fleet: hdap.Fleet, found: hdap.Found) -> None:
    stored = fleet.sql(
        "SELECT number, fleet_mean_ms, flops FROM trials WHERE number = :trial", trial=found.trial
    )
    assert stored["fleet_mean_ms"].item() == found.predicted_ms
    assert stored["flops"].item() <= 1_000_000_000
    low, high = found.predicted_interval_ms
    assert low < found.predicted_ms < high
    assert fleet.study("first").channels == found.channels
    assert "fleet" in found.worth.words or "cluster" in found.worth.words


def test_the_table_is_text_that_a_notebook_shows(found: hdap.Found) -> None:
    table = found.table()
    assert repr(table) == str(table)
    assert [row[0] for row in table.rows][-1] == "found"
    assert f"{found.predicted_ms:.2f} ms" in str(table)
    assert len({len(line) for line in str(table).splitlines()[2:]}) == 1
    assert f"trial={found.trial}" in repr(found)


def test_trials_are_a_frame_of_figures_and_channels(fleet: hdap.Fleet, found: hdap.Found) -> None:
    frame = found.to_frame()
    assert len(frame) == 150
    assert fleet.trials().equals(frame)
    mine = frame.filter(pl.col("number") == found.trial)
    assert {name: mine[name].item() for name in found.channels} == found.channels
    assert isinstance(found.to_frame("pandas"), pd.DataFrame)


def test_the_study_is_one_of_optuna_that_its_pictures_take(
    fleet: hdap.Fleet, found: hdap.Found, capfd: pytest.CaptureFixture[str]
) -> None:
    study = found.study()
    assert isinstance(study, optuna.Study)
    assert len(study.trials) == 150
    best = study.trials[found.trial]
    assert best.params == found.channels
    assert best.user_attrs["fleet_mean_ms"] == found.predicted_ms
    assert best.constraints is not None
    assert max(best.constraints.values()) <= 0.0
    assert study.user_attrs["model"] == "resnet50"
    group = next(iter(found.channels))
    for figure in (
        optuna.visualization.plot_optimization_history(study),
        optuna.visualization.plot_slice(study, params=[group]),
        optuna.visualization.plot_edf(study),
    ):
        assert figure.data
    assert capfd.readouterr() == ("", "")


def test_found_becomes_an_ordinary_module(found: hdap.Found, tmp_path: Path) -> None:
    network = found.prune(out=tmp_path / "pruned")
    assert isinstance(network, torch.nn.Module)
    assert network.get_submodule("conv1").out_channels == found.channels["conv1"]
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert hdap.load_pruned(tmp_path / "pruned") is not None
    with pytest.raises(InputError, match="exclude"):
        found.prune(weights="weights.pt", pretrained=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"trials": 0}, "`trials >= 1` must hold, but got 0"),
        ({"trials": "10"}, "`trials` must be of type int"),
        ({"trials": True}, "`trials` must be of type int"),
        ({"risk": "x"}, "`risk` must be of type float"),
        ({"trails": 10}, "did you mean `trials`"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_stored(
    fleet: hdap.Fleet, found: hdap.Found, setting: dict[str, Any], message: str
) -> None:
    before = fleet.sql("SELECT study FROM studies")
    with pytest.raises(InputError, match=message):
        fleet.search("resnet50", flops=1e9, **setting)
    assert fleet.sql("SELECT study FROM studies").equals(before)


def test_clusters_and_devices_are_frames(fleet: hdap.Fleet) -> None:
    clusters = fleet.clusters()
    assert clusters["devices"].sum() == 24
    assert all(len(names) for names in clusters["representatives"].to_list())
    devices = fleet.devices()
    assert len(devices) == 24
    assert len(fleet.devices(cluster=0)) == clusters["devices"][0]
    assert set(devices["device_id"]) >= set(clusters["representatives"].explode())


def test_surrogates_are_fitted_and_a_plan_is_written(fleet: hdap.Fleet, tmp_path: Path) -> None:
    assert all(score.mape < 0.1 for score in fleet.fit("resnet50").scores)
    with pytest.raises(InputError, match="`--out` must name"):
        fleet.plan("resnet50", tmp_path.parent)
    with pytest.raises(InputError, match="did you mean `per_cluster`"):
        fleet.plan("resnet50", tmp_path / "out", per_clusters=3)


def test_statements_change_nothing(fleet: hdap.Fleet) -> None:
    assert fleet.sql("SELECT count(*) AS n FROM devices")["n"].item() == 24
    assert fleet.sql("SELECT device_id FROM devices WHERE 1 = 0").is_empty()
    with pytest.raises(InputError):
        fleet.sql("DELETE FROM devices")


def test_pictures_and_the_report_show_it(
    fleet: hdap.Fleet, found: hdap.Found, tmp_path: Path
) -> None:
    assert fleet.picture("pareto", study="first")._repr_svg_().startswith("<svg")
    page = fleet.report(tmp_path / "report.html")
    assert "hdap report: study first" in page.read_text()
    with pytest.raises(InputError, match="create it"):
        fleet.report(tmp_path / "nowhere" / "report.html")


def test_settings_and_studies_that_are_not_there_are_refused(fleet: hdap.Fleet) -> None:
    with pytest.raises(InputError, match="did you mean `trials`"):
        fleet.search("resnet50", flops="1.0G", trial=3)
    with pytest.raises(InputError, match="needs a budget"):
        fleet.search("resnet50")
    with pytest.raises(NotFoundError):
        fleet.study("second")
    with pytest.raises(HdapError):
        fleet.picture("pie")


def test_what_was_never_measured_cannot_be_verified(found: hdap.Found) -> None:
    with pytest.raises(NotEnoughDataError, match="must be measured"):
        found.verify()


def test_progress_comes_by_a_callback_and_talk_by_logging(
    fleet: hdap.Fleet,
    found: hdap.Found,
    told: Told,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert {what for what, _, _ in told} >= {"ingest", "search"}
    assert ("search", 150, 150) in told
    with caplog.at_level(logging.INFO, logger="hdap"):
        fleet.clusters()
    assert "is current" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_closed_fleet_opens_again(fleet: hdap.Fleet) -> None:
    fleet.close()
    assert len(fleet.devices()) == 24


def test_several_networks_share_a_deadline_and_every_device_has_one(fleet: hdap.Fleet) -> None:
    sized = fleet.sizes("resnet50", "20ms", 2, trials=60, study="sizes")
    assert sized.found.words.startswith("2 networks keep")
    rows = fleet.assignments("sizes")
    assert len(rows) == 24
    assert set(rows["number"]) == set(sized.found.chosen.rows.tolist())
    assert rows["in_time"].mean() >= 0.95  # type: ignore[operator]
    with pytest.raises(InputError, match=r"Fleet\.sizes"):
        fleet.search("resnet50", latency="20ms", networks=2)


def test_a_log_is_told_what_it_does_not_say_and_a_frame_says_it_itself(tmp_path: Path) -> None:
    log = Path(__file__).parents[1] / "data" / "logs" / "trtexec_times.json"
    with hdap.Fleet(tmp_path / "t.db") as fleet:
        assert fleet.ingest(log, device_id="cam-7", model="resnet50").added == 1
        rows = pl.DataFrame({"device_id": ["d"], "model": ["m"], "latency_ms": [1.0]})
        with pytest.raises(InputError, match="leave --model out"):
            fleet.ingest(rows, model="resnet50")
