"""A fleet of two runtimes, from what its devices say to the verdict: each measures what it runs."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import Result

from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.software import RunBy
from hdap.fleet_data.store import Store
from hdap.networks.tracing import trace
from hdap.requests.plan_request import PlanRequest
from hdap.search.planning.plan_bundles import PlannedBundle
from hdap.workflows.plan_measurements import PlannedBatch, make_plan
from hdap.workflows.write_bundle import run_measure
from hdap.workflows.write_plan import write_bundles

Hdap = Callable[..., Result]
MODEL = "statesnet:net"
SOURCE = """
import timm

def net():
    model = timm.create_model("resnet18", num_classes=10, layers=(1, 1, 1, 1))
    model.input_shape = (3, 64, 64)
    return model
"""
STATES = {
    RunBy("onnxruntime", "float32"): (("unit-a", "unit-b"), "onnxruntime 1.31", 4.0),
    RunBy("openvino", "int8", threads=2): (("unit-c", "unit-d"), "openvino-2026.4.1-cpu-2t", 1.5),
}
QUICK = ("--runs", "5", "--min-seconds", "0.05")


@dataclass(frozen=True)
class Fleet:
    folder: Path
    trial: int

    @property
    def db(self) -> Path:
        return self.folder / "hdap.db"

    def planned(self, request: PlanRequest) -> tuple[PlannedBatch, list[str]]:
        said: list[str] = []
        with Store.open(str(self.db)) as store:
            return make_plan(store, request, said.append), said


def telemetry(file: Path) -> None:
    """Dense rows of every device, and of 16 pruned networks, about as they would be."""
    rng, architecture = np.random.default_rng(0), trace(MODEL)
    widths = architecture.widths
    shares = rng.uniform(0.3, 1.0, (16, len(widths)))
    counts = np.maximum((shares * widths).astype(np.int64) // 8 * 8, 8)
    texts = ["", *format_channels(architecture, counts)]
    size = flops(architecture, np.vstack([widths, counts])) / flops(architecture, widths[None])
    rows = [
        {
            "device_id": device,
            "model": MODEL,
            "channels": text,
            "latency_ms": dense * (0.1 + 0.9 * share) * np.exp(rng.normal(0.0, 0.01)),
            "runtime": runtime,
            "precision": run_by.precision,
        }
        for run_by, (devices, runtime, dense) in STATES.items()
        for device in devices
        for text, share in [*zip(texts, size, strict=True), *[("", 1.0)] * 7]
    ]
    pl.DataFrame(rows).write_csv(file)


@pytest.fixture(scope="module")
def fleet(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("states")
    (folder / "statesnet.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        telemetry(folder / "telemetry.csv")
        db = folder / "hdap.db"
        for words in (("model", MODEL), ("ingest", str(folder / "telemetry.csv"))):
            assert hdap(*words, db=db).exit_code == 0, words
        search = ("search", "--model", MODEL, "--flops", "50%", "--trials", "40", "--json")
        found = hdap(*search, db=db)
        assert found.exit_code == 0, found.output
        yield Fleet(folder, json.loads(found.stdout)["trial"])
    sys.modules.pop("statesnet", None)


def _run_by(document: dict[str, Any]) -> RunBy:
    return RunBy(*(document[name] for name in ("runtime", "precision", "provider", "threads")))


def test_a_plan_has_a_bundle_for_everything_that_devices_run(fleet: Fleet) -> None:
    batch, said = fleet.planned(PlanRequest(MODEL, per_cluster=8))
    asked = {device: b.run_by for b in batch.bundles for device in b.devices}
    known = {device: run_by for run_by, (devices, *_) in STATES.items() for device in devices}
    assert asked.items() <= known.items()
    assert set(asked.values()) == set(STATES)
    assert {b.name.partition("-")[2].partition("-")[2] for b in batch.bundles} == {
        "onnxruntime-float32",
        "openvino-int8-2t",
    }
    assert set(batch.baselines) == set(asked)
    assert not any("no bundle can be made" in line for line in said)


def test_what_a_person_asks_is_what_all_measure(fleet: Fleet) -> None:
    batch, _ = fleet.planned(PlanRequest(MODEL, per_cluster=8, runtime="ncnn"))
    assert {b.run_by for b in batch.bundles} == {RunBy("ncnn", "float32")}
    assert not any("ncnn" in b.name for b in batch.bundles)


def test_the_networks_of_a_check_are_measured_in_what_each_device_runs(
    fleet: Fleet, hdap: Hdap
) -> None:
    check = fleet.folder / "check"
    asked = ("--trial", str(fleet.trial))
    written = hdap("verify", *asked, "--out", str(check), "--json", db=fleet.db)
    assert written.exit_code == 0, written.output
    bundles = json.loads(written.stdout)["bundles"]
    assert {_run_by(b) for b in bundles} == set(STATES)
    lines = [line.split("\t") for line in (check / "devices.txt").read_text().splitlines()]
    for bundle in bundles:
        folder = Path(bundle["folder"])
        manifest = json.loads((folder / "manifest.json").read_text())
        assert _run_by(manifest) == _run_by(bundle)
        at = {line[0]: line[2] for line in lines}
        assert {at[device] for device in bundle["devices"]} == {folder.name}
        assert run_measure(folder, ["--device-id", bundle["devices"][0], *QUICK]) == 0
    files = sorted(map(str, check.glob("*/measured-*.csv")))
    assert len(files) == len(STATES)
    rows = pl.concat(pl.read_csv(file, columns=["precision", "threads"]) for file in files)
    assert dict(rows.unique().iter_rows()) == {"float32": 1, "int8": 2}
    assert hdap("ingest", *files, db=fleet.db).exit_code == 0
    judged = hdap("verify", *asked, "--json", db=fleet.db)
    assert judged.exit_code in (0, 1), judged.output  # these latencies were nobody's
    told = json.loads(judged.stdout)
    assert [name.partition("-")[0].split()[0] for name in told["runtime"].split(", ")] == [
        run_by.runtime for run_by in STATES
    ]


def test_what_writes_a_bundle_is_asked_for_before_the_first_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HDAP_LITERT_PYTHON", raising=False)
    architecture, told = trace(MODEL), list[int]()
    one = architecture.widths[None] // 2
    bundles = [
        PlannedBundle(run_by.name, ("unit-a",), one, one[:0], run_by)
        for run_by in (RunBy(), RunBy("litert", "int8"))
    ]
    with pytest.raises(InputError, match="litert-torch must be installed"):
        write_bundles(tmp_path, architecture, bundles, 1, lambda done, total: told.append(done))
    assert told == []
    assert list(tmp_path.iterdir()) == []


def test_of_what_no_bundle_can_be_onnx_runtime_stands_in_and_that_is_said(
    fleet: Fleet, hdap: Hdap, tmp_path: Path
) -> None:
    rows = pl.read_csv(fleet.folder / "telemetry.csv", schema_overrides={"channels": pl.String})
    strange = rows.with_columns(
        device_id=pl.col("device_id") + "-snpe", runtime=pl.lit("snpe 2.28"), precision=pl.lit("")
    )
    strange.write_csv(tmp_path / "strange.csv")
    assert hdap("ingest", str(tmp_path / "strange.csv"), db=tmp_path / "hdap.db").exit_code == 0
    batch, said = Fleet(tmp_path, 0).planned(PlanRequest(MODEL, per_cluster=8))
    assert {b.run_by for b in batch.bundles} == {RunBy()}
    assert any("snpe 2.28, of which no bundle can be made" in line for line in said)
