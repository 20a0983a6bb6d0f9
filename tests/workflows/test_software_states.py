"""A fleet in the middle of a roll-out, from a file to clusters that say what was left out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.software import show_software
from hdap.fleet_data.store import Store
from hdap.workflows.fleet_artifacts import ensure_clustering


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
