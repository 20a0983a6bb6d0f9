"""A fleet in the middle of a roll-out, from a file to clusters that say what was left out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.software import show_software
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import date
from hdap.workflows.detect_drift import findings
from hdap.workflows.fleet_artifacts import ensure_clustering
from hdap.workflows.list_devices import list_devices, software_shares


def telemetry(rng: np.random.Generator) -> list[str]:
    """Twelve devices, of which the last six moved to a runtime that takes half as long."""
    lines = ["device_id,model,latency_ms,timestamp,runtime,precision"]
    for device in range(12):
        for day in range(1, 11):
            new = device >= 6 and day > 7
            ms = (20.0 if new else 40.0) * np.exp(rng.normal(0, 0.01))
            runs = "ov 2,bfloat16" if new else "ort 1,float32"
            lines.append(f"unit-{device:02d},resnet50,{ms:.4f},2026-11-{day:02d},{runs}")
    return lines


def test_clusters_are_of_what_runs_now_and_say_what_they_leave_out(
    fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(telemetry(np.random.default_rng(0))))
    said: list[str] = []
    with Store.open(str(fresh(tmp_path / "t.db"))) as store:
        ingest(store, path, trace=lambda model: None)
        record = ensure_clustering(store, said.append)
        stored = store.clustering()
    assert record.cluster.tolist() == [1] * 6 + [0] * 6
    assert record.clusters[0].description.endswith("runs ov 2, bfloat16")
    (note,) = [line for line in said if "other software" in line]
    assert note.startswith("42 rows of 6 devices are of other software than they run now")
    assert "unit-06: ort 1, float32, now ov 2, bfloat16" in note
    assert stored.software.tolist() == record.software.tolist()
    assert show_software(stored.software[11]) == "ov 2, bfloat16"


def test_a_change_of_software_is_two_dated_states_of_one_device(
    fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(telemetry(np.random.default_rng(0))))
    with Store.open(str(fresh(tmp_path / "t.db"))) as store:
        ingest(store, path, trace=lambda model: None)
        ensure_clustering(store, lambda _: None)
        stored = store.clustering()
        columns = list_devices(store, changed=True)
        shares = software_shares(store)
    assert {show_software(text) for text in stored.software_before[6:]} == {"ort 1, float32"}
    assert set(stored.software_before[:6]) == {""}
    assert np.isnan(stored.software_since[:6]).all()
    assert date(float(stored.software_since[11])) == "2026-11-08"
    assert sorted(row[0] for row in columns.rows) == [f"unit-{d:02d}" for d in range(6, 12)]
    assert [(s.devices, s.changed) for s in shares] == [(6, 6), (6, 0)]


def test_a_change_of_software_is_no_drift_but_another_state(
    fresh: Callable[[Path], Path], tmp_path: Path
) -> None:
    lines = telemetry(np.random.default_rng(0))
    before = [line for line in lines if ",ov 2," not in line]
    with Store.open(str(fresh(tmp_path / "t.db"))) as store:
        for name, part in (
            ("before", before),
            ("after", [lines[0], *(line for line in lines if ",ov 2," in line)]),
        ):
            path = tmp_path / f"{name}.csv"
            path.write_text("\n".join(part))
            ingest(store, path, trace=lambda model: None)
            if name == "before":
                record = ensure_clustering(store, lambda _: None)
        found = findings(store, record, ())
    assert [f.kind for f in found if f.action != "nothing"] == ["software"]
    assert found[0].says == (
        "6 devices of 12 changed what they run, another state and no drift (unit-06: ort 1, "
        "float32, since 2026-11-08 ov 2, bfloat16)"
    )
