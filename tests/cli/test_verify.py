"""The whole loop on a simulated fleet, from dense telemetry to the gate."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import Result

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.store import Store
from hdap.networks.tracing import trace
from hdap.simulation.bundles import answer_bundle
from hdap.simulation.fleet_folder import read_fleet, write_fleet
from hdap.simulation.law import Noise
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import FleetSpec, SimulatedFleet
from hdap.simulation.telemetry_stream import TelemetryPlan

Hdap = Callable[..., Result]
MODEL = "loopnet:net"
SOURCE = """
import timm

def net():
    model = timm.create_model("resnet18", num_classes=10, layers=(1, 1, 1, 1))
    model.input_shape = (3, 96, 96)
    return model
"""


@dataclass(frozen=True)
class Loop:
    folder: Path
    fleet: SimulatedFleet
    architecture: Architecture
    plan: Result
    trial: int
    promised: float

    @property
    def asked(self) -> list[list[str]]:
        text = (self.folder / "check" / "devices.txt").read_text()
        return [line.split("\t") for line in text.splitlines()]

    def answered(self, hdap: Hdap, fleet: SimulatedFleet, target: Path, devices: list[str]) -> Path:
        """A copy of the database in which these devices measured the verification's bundle."""
        db = Path(shutil.copy(self.folder / "loop.db", target / "hdap.db"))
        file = _answer(self.folder / "check", self.architecture, fleet, devices, target)
        assert hdap("ingest", str(file), db=db).exit_code == 0
        return db


def _answer(
    bundle: Path,
    architecture: Architecture,
    fleet: SimulatedFleet,
    devices: list[str],
    target: Path,
) -> Path:
    chosen = fleet.find(tuple(devices))
    rows = answer_bundle(bundle / "manifest.json", architecture, chosen, rounds=2).rows
    path = target / f"{bundle.name}.csv"
    rows.write_csv(path, quote_style="never")
    return path


@pytest.fixture(scope="module")
def loop(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    (folder / "loopnet.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        architecture = trace(MODEL)
        db = folder / "loop.db"
        # Two kinds, little noise: what is tested is the loop, not the surrogates.
        shade = replace(preset("cameras", 1).kinds[0], noise=Noise(0.004, 0.0, 0.0))
        kinds = (shade, replace(shade, name="saver", clock=0.6))
        spec = FleetSpec("quiet", kinds, 40, seed=1)
        tried = TelemetryPlan(configurations=150, measuring_devices=20, measured_rows=40)
        write_fleet(folder / "fleet", spec, [architecture], tried, "csv")
        everyday, earlier = _split(folder / "fleet" / "telemetry.csv")
        fleet = read_fleet(folder / "fleet")
        for arguments in (("ingest", str(everyday)), ("model", MODEL)):
            assert hdap(*arguments, db=db).exit_code == 0, arguments
        planned = hdap(
            *("plan", "--model", MODEL, "--out", str(folder / "bundles"), "--per-cluster", "3"),
            db=db,
        )
        assert planned.exit_code == 0, planned.output
        for bundle in json.loads((folder / "bundles" / "plan.json").read_text())["bundles"]:
            at = folder / "bundles" / bundle["folder"]
            file = _answer(at, architecture, fleet, bundle["devices"], folder)
            assert hdap("ingest", str(file), db=db).exit_code == 0
        assert hdap("ingest", str(earlier), db=db).exit_code == 0
        found = hdap(
            "search", "--model", MODEL, "--flops", "30%", "--trials", "200", "--json", db=db
        )
        assert found.exit_code == 0, found.output
        answer = json.loads(found.stdout)
        trial, promised = answer["trial"], answer["gain_over_best_uniform"]["promised"]
        check = str(folder / "check")
        done = hdap("verify", "--trial", str(trial), "--out", check, "--sample", "4", db=db)
        assert done.exit_code == 0, done.output
        yield Loop(folder, fleet, architecture, planned, trial, promised)


def _split(telemetry: Path) -> tuple[Path, Path]:
    """Everyday rows, and the rows of an earlier campaign of measuring."""
    rows = pl.read_csv(telemetry, infer_schema=False)
    pruned = pl.col("channels").fill_null("") != ""
    paths = telemetry.with_name("everyday.csv"), telemetry.with_name("earlier.csv")
    for path, part in zip(paths, (~pruned, pruned), strict=True):
        rows.filter(part).write_csv(path, quote_style="never")
    return paths


def test_a_first_plan_comes_from_dense_telemetry_alone(loop: Loop) -> None:
    text = " ".join(loop.plan.stdout.split())
    assert "First batch of loopnet:net" in text
    assert "expected, not promised" in text
    assert "the measured ResNet-50 fleet that ships with hdap" in text
    measure = r"next: hdap measure \S+/bundle-1 --device-id sim-\w+ --db \S+"
    assert re.search(measure + r" then: hdap ingest \S+/\*/measured-\*\.csv --db \S+$", text)
    readme = (loop.folder / "bundles" / "README.txt").read_text()
    assert "bundle-1/  ->  sim-" in readme
    assert (loop.folder / "bundles" / "bundle-1" / "measure.pyz").exists()


def test_the_bundle_asks_representatives_and_a_sample_of_others(loop: Loop) -> None:
    roles = [role for _, role in loop.asked]
    assert roles.count("sample") == 4
    assert roles.count("representative") >= 2
    manifest = json.loads((loop.folder / "check" / "manifest.json").read_text())
    roles = [entry["role"] for entry in manifest["configurations"]]
    assert roles == ["reference", "anchor", "candidate"]


def test_a_kept_promise_exits_0_and_is_stored(hdap: Hdap, loop: Loop, tmp_path: Path) -> None:
    db = loop.answered(hdap, loop.fleet, tmp_path, [d for d, _ in loop.asked])
    done = hdap("verify", "--trial", str(loop.trial), db=db)
    assert done.exit_code == 0, done.output
    assert "keeps its promise (simulated)" in done.stdout
    assert "4 of 4 other devices as their cluster" in done.stdout
    assert "predicted against simulated latency" in " ".join(done.stdout.split())
    told = json.loads(hdap("verify", "--trial", str(loop.trial), "--json", db=db).stdout)
    assert told["speed_ups"][0]["promised"] == pytest.approx(loop.promised)
    with Store.open(str(db)) as store:
        records = store.verifications(store.study().id)
    assert [r.cluster for r in records] == list(range(len(records)))
    assert all(r.trial_holds and r.simulated and r.number == loop.trial for r in records)
    assert all(r.measured_low_ms <= r.measured_ms <= r.measured_high_ms for r in records)


def test_a_fleet_that_slowed_down_exits_1_and_says_why(
    hdap: Hdap, loop: Loop, tmp_path: Path
) -> None:
    slower = replace(loop.fleet, clock=0.6 * loop.fleet.clock)
    db = loop.answered(hdap, slower, tmp_path, [d for d, _ in loop.asked])
    done = hdap("verify", "--trial", str(loop.trial), "--json", db=db)
    assert done.exit_code == 1, done.output
    document = json.loads(done.stdout)
    assert document["holds"] is False
    assert document["simulated"] is True
    assert document["conclusion"] == "does not hold"
    assert re.match(r"predictions are off by 1\.\d\dx .*: refit", document["reasons"][0])
    with Store.open(str(db)) as store:
        assert not any(r.trial_holds for r in store.verifications(store.study().id))


def test_a_sample_alone_is_not_enough(hdap: Hdap, loop: Loop, tmp_path: Path) -> None:
    others = [d for d, role in loop.asked if role == "sample"]
    db = loop.answered(hdap, loop.fleet, tmp_path, others)
    done = hdap("verify", "--trial", str(loop.trial), db=db)
    assert done.exit_code == 1
    assert "error: a verification needs a representative" in done.stderr


def test_a_trial_that_nobody_measured_is_one_line_with_the_bundle_to_run(
    hdap: Hdap, loop: Loop
) -> None:
    done = hdap("verify", "--trial", str(loop.trial), db=loop.folder / "loop.db")
    assert done.exit_code == 1
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert f"--trial {loop.trial} --out check" in line


def test_status_finds_the_slower_fleet(hdap: Hdap, loop: Loop, tmp_path: Path) -> None:
    db = Path(shutil.copy(loop.folder / "loop.db", tmp_path / "hdap.db"))
    later = tmp_path / "later.csv"
    rows = pl.read_csv(loop.folder / "fleet" / "everyday.csv", infer_schema=False)
    slowed = pl.col("latency_ms").cast(pl.Float64) * 1.2
    rows.with_columns(
        slowed.cast(pl.String).alias("latency_ms"),
        pl.col("timestamp").str.replace("2026-11", "2026-12"),
    ).write_csv(later, quote_style="never")
    assert hdap("ingest", str(later), db=db).exit_code == 0
    document = json.loads(hdap("status", "--json", db=db).stdout)
    changed = [f for f in document["drift"] if f["kind"] == "changed clusters"]
    assert {f["action"] for f in changed} == {"measure again"}
    assert "slower" in changed[0]["says"]
    moved = next(f for f in document["drift"] if f["kind"] == "moved devices")
    assert moved["action"] == "nothing"
    assert "measure again" in hdap("status", db=db).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("verify", "--trial", "0", "--out", "."), "does not exist or is empty"),
        (("verify", "--trial", "999999"), "999999"),
        (("verify", "--trial", "0", "--study", "nothing"), "nothing"),
        (("plan", "--model", MODEL, "--out", "."), "does not exist or is empty"),
        (("plan", "--model", MODEL, "--out", "new", "--budget", "1"), "--budget"),
        (("plan", "--model", MODEL, "--out", "new", "--per-cluster", "0"), "--per-cluster"),
        (("plan", "--model", MODEL, "--out", "new", "--flops-range", "1G"), "LOW-HIGH"),
        (("plan", "--model", MODEL, "--out", "new", "--flops-range", "60%-10%"), "LOW below HIGH"),
        (("plan", "--model", MODEL, "--out", "new", "--from-study", "nothing"), "nothing"),
        (("plan", "--model", "resnet5o", "--out", "new"), "resnet50"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing_behind(
    hdap: Hdap,
    loop: Loop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").write_text("here")
    db = Path(shutil.copy(loop.folder / "loop.db", tmp_path / "hdap.db"))
    done = hdap(*arguments, db=db)
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert expected in line
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def test_measure_names_the_bundles_of_a_plan(hdap: Hdap, loop: Loop) -> None:
    done = hdap("measure", str(loop.folder / "bundles"))
    assert done.exit_code == 1
    assert "bundle-1" in done.stderr


def test_measure_hands_options_through_and_returns_the_exit_status(
    hdap: Hdap, loop: Loop, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = str(loop.folder / "check")
    assert hdap("measure", bundle, "--list").exit_code == 0
    assert hdap("measure", bundle, "--runs", "none").exit_code == 2
    assert hdap("measure", bundle, "--dry-run", "--threads", "1").exit_code == 0
