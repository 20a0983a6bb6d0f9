"""Levels for the measured MobileNetV1 fleet, from the command line to the file and the bundles."""

import functools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from hdap.device.controller import Budget, Controller, Reading, read_table
from hdap.elastic.level_file import read_level_file
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import LevelPlanRecord
from hdap.fleet_data.store import Store
from hdap.requests.plan_request import PlanRequest
from hdap.workflows.plan_measurements import make_plan
from hdap.workflows.write_bundle import run_measure
from hdap.workflows.write_plan import write_plan

WriteSealed = Callable[[Path, Mapping[str, Any]], None]
Hdap = Callable[..., Result]
PLAN = ("elastic", "plan", "--model", "mobilenetv1_100", "--target-latency", "20ms")


@pytest.fixture(scope="module")
def planned(
    hdap: Hdap, fleet_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the database of the fleet, levels.json and what was printed."""
    folder = tmp_path_factory.mktemp("planned")
    ingested = hdap("ingest", str(fleet_file("mobilenetv1_100")), db=folder / "hdap.db")
    assert ingested.exit_code == 0, ingested.output
    asked = (*PLAN, "--max-levels", "3", "--out", str(folder / "levels.json"))
    found = hdap(*asked, db=folder / "hdap.db")
    assert found.exit_code == 0, found.output
    (folder / "printed.txt").write_text(found.stdout)
    return folder


@pytest.fixture(scope="module")
def plan(planned: Path) -> LevelPlanRecord:
    with Store.open(str(planned / "hdap.db")) as store:
        return store.level_plan("mobilenetv1_100")


def test_the_table_names_every_cluster_and_clock(planned: Path) -> None:
    printed = (planned / "printed.txt").read_text()
    assert "each a prefix of the next" in printed
    assert "Which level meets 20.00 ms, predicted" in printed
    assert "How many levels are worth having" in printed
    assert "one more must keep 0.020 more on average" in printed
    assert printed.strip().splitlines()[-1].startswith("with IMAGES of yours: hdap elastic train ")


@pytest.mark.parametrize(
    ("target", "offered"),
    [("10s", ()), ("13ms", ("next: hdap plan",))],
)
def test_one_level_offers_what_one_level_allows(
    hdap: Hdap, planned: Path, tmp_path: Path, target: str, offered: tuple[str, ...]
) -> None:
    """The dense network needs no bundle of its own, and a network of one size is not elastic."""
    db = shutil.copy(planned / "hdap.db", tmp_path)
    asked = ("--target-latency", target, "--clocks", "1.0", "--max-levels", "1")
    found = hdap(*PLAN[:-2], *asked, "--out", str(tmp_path / "levels.json"), db=Path(db))
    assert found.exit_code == 0, found.output
    assert "1 level, each a prefix of the next" in found.stdout
    told = [x for x in found.stdout.splitlines() if x.startswith(("next:", "with "))]
    assert len(told) == len(offered)
    assert all(map(str.startswith, told, offered))
    assert ("a shorter --target-latency needs levels" in found.stdout) == (not offered)


def test_the_plan_is_stored_with_every_level_at_every_point(plan: LevelPlanRecord) -> None:
    clusters = {p.cluster for p in plan.points}
    assert len(plan.points) == len(clusters) * 4 * len(plan.levels)
    assert sum(p.chosen for p in plan.points) == len(clusters) * 4
    for point in plan.points:
        assert point.latency_low_ms < point.latency_ms < point.latency_high_ms
        assert not point.chosen or point.latency_ms <= plan.target_ms
    kept = [level.kept_importance for level in plan.levels]
    assert kept == sorted(kept)
    assert not plan.simulated


def test_slower_clocks_never_get_a_larger_level(plan: LevelPlanRecord) -> None:
    for cluster in {p.cluster for p in plan.points}:
        mine = sorted((p.clock, p.level) for p in plan.points if p.chosen and p.cluster == cluster)
        assert [level for _, level in mine] == sorted(level for _, level in mine)


def test_a_question_in_sql_finds_what_serves_a_slow_clock(hdap: Hdap, planned: Path) -> None:
    asked = (
        "SELECT o.cluster, l.level, l.flops, o.latency_ms FROM operating_points o "
        "JOIN levels l USING (level_plan_id, level) WHERE o.clock = 0.4 AND o.chosen "
        "ORDER BY o.cluster"
    )
    found = hdap("sql", asked, "--json", db=planned / "hdap.db")
    rows = json.loads(found.stdout)
    assert [row["cluster"] for row in rows] == list(range(len(rows)))
    assert all(row["latency_ms"] <= 20.0 for row in rows)


def test_machines_get_the_levels_and_the_advice(hdap: Hdap, planned: Path) -> None:
    asked = (*PLAN, "--max-levels", "1", "--clocks", "1.0", "--json")
    found = hdap(*asked, db=planned / "hdap.db")
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["advised"] == 1 == len(document["levels"])
    assert document["latency"] == "predicted"


def test_the_controller_and_the_planner_read_the_file_alike(
    planned: Path, plan: LevelPlanRecord
) -> None:
    with Store.open(str(planned / "hdap.db")) as store:
        architecture, clustering = store.architecture(plan.model), store.clustering()
    read = read_level_file(planned / "levels.json", architecture, clustering)
    assert (np.diff(read.counts, axis=0) >= 0).all()
    expected = {"model": plan.model, "architecture": architecture.digest}
    for cluster in range(len(clustering.clusters)):
        table = read_table(str(planned / "levels.json"), cluster, expected)
        for clock in (0.4, 1.0):
            chosen = next(
                p for p in plan.points if p.chosen and (p.cluster, p.clock) == (cluster, clock)
            )
            told = Controller(table, Budget(plan.target_ms), read=functools.partial(Reading, clock))
            assert told.point.level >= chosen.level  # the plan adds doubt, the device need not
            assert told.predicted_ms(told.table.points[chosen.level]) == pytest.approx(
                chosen.latency_ms
            )


def test_every_bundle_carries_every_pruned_level(planned: Path, plan: LevelPlanRecord) -> None:
    request = PlanRequest(plan.model, levels=planned / "levels.json")
    with Store.open(str(planned / "hdap.db")) as store:
        batch = make_plan(store, request, lambda _: None)
    pruned = [level.channels for level in plan.levels if level.channels]
    assert all(len(bundle) == len(pruned) for bundle in batch.bundles)
    assert batch.measurements == len(pruned) * sum(len(b.devices) for b in batch.bundles)


def test_levels_travel_beside_a_usual_batch(planned: Path, plan: LevelPlanRecord) -> None:
    request = PlanRequest(plan.model, per_cluster=6, levels=planned / "levels.json")
    with Store.open(str(planned / "hdap.db")) as store:
        batch = make_plan(store, request, lambda _: None)
    levels = read_level_file(planned / "levels.json", batch.architecture).counts
    pruned = {row.tobytes() for row in levels if (row != batch.architecture.widths).any()}
    for bundle in batch.bundles:
        assert pruned <= {row.tobytes() for row in bundle.anchors}
        assert len(bundle.candidates)


def test_levels_measured_on_a_device_come_home(
    hdap: Hdap, planned: Path, plan: LevelPlanRecord, tmp_path: Path
) -> None:
    db = Path(shutil.copy(planned / "hdap.db", tmp_path / "hdap.db"))
    with Store.open(str(db)) as store:
        batch = make_plan(
            store, PlanRequest(plan.model, levels=planned / "levels.json"), lambda _: None
        )
    write_plan(replace(batch, bundles=batch.bundles[:1]), tmp_path / "out", lambda *_: None)
    bundle = tmp_path / "out" / batch.bundles[0].name
    assert (bundle / "levels.json").read_bytes() == (planned / "levels.json").read_bytes()
    asked = ("--device-id", "here", "--runs", "10", "--min-seconds", "0.1", "--threshold", "1000")
    assert run_measure(bundle, asked) == 0
    found = hdap("ingest", str(bundle / "measured-here.csv"), db=db)
    assert found.exit_code == 0, found.output
    with Store.open(str(db)) as store:
        rows = store.measurements(plan.model)
    mine = rows.device == list(rows.devices.ids).index("here")
    measured = {rows.channels[i] for i in np.unique(rows.configuration[mine])}
    assert {level.channels for level in plan.levels} <= measured


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "resnet50"}, "must hold levels of mobilenetv1_100"),
        ({"architecture": "0" * 64}, "must hold levels of mobilenetv1_100"),
        ({"fleet": "0" * 16}, "must be made for clustering"),
        ({"format": 2}, "its format is 2, not 1"),
        ({"kind": "other"}, "must be a file of `hdap elastic plan --out`"),
    ],
)
def test_a_file_made_for_something_else_is_refused(
    planned: Path,
    tmp_path: Path,
    write_sealed: WriteSealed,
    change: dict[str, object],
    told: str,
) -> None:
    document = json.loads((planned / "levels.json").read_text()) | change
    write_sealed(tmp_path / "levels.json", document)
    with Store.open(str(planned / "hdap.db")) as store:
        architecture, clustering = store.architecture("mobilenetv1_100"), store.clustering()
    with pytest.raises(InputError, match=told):
        read_level_file(tmp_path / "levels.json", architecture, clustering)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--target-latency", "0.2ms"), r"cluster \d at 40 % of its clock takes at least"),
        (("--target-latency", "soon"), "the target latency must be a positive time"),
        (("--clocks", "fast"), "`--clocks` must be shares of the typical clock"),
        (("--clocks", "0.0,1.0"), "clocks must be different shares"),
        (("--min-levels", "5", "--max-levels", "2"), "min-levels <= max-levels"),
        (("--flops-range", "1G"), "`--flops-range` must be LOW-HIGH"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    hdap: Hdap, planned: Path, options: tuple[str, ...], told: str
) -> None:
    found = hdap(*PLAN, *options, db=planned / "hdap.db")
    assert found.exit_code == 1
    (line,) = [x for x in found.stderr.splitlines() if x.startswith("error:")]
    assert re.search(told, line), line


def test_a_fleet_that_never_reported_a_clock_is_refused(hdap: Hdap, tmp_path: Path) -> None:
    rows = ["device_id,model,latency_ms,channels"]
    for device in range(6):
        rows += [f"d{device},mobilenetv1_100,{20 + device / 10},"] * 3
        rows += [
            f"d{device},mobilenetv1_100,{5 + n / 10 + device / 100},conv_stem={8 + n}"
            for n in range(12)
        ]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    hdap("ingest", str(tmp_path / "t.csv"), db=tmp_path / "hdap.db")
    found = hdap(*PLAN, db=tmp_path / "hdap.db")
    assert found.exit_code == 1
    assert "levels for other clocks need rows that report their clock" in found.stderr
