"""What a fleet's new telemetry makes of its clusters, from files to lines."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store
from hdap.workflows.detect_drift import findings
from hdap.workflows.fleet_artifacts import ensure_clustering


def rows(fast: Iterable[int], days: Iterable[int]) -> str:
    """Twelve devices, of which some are twice as `fast`."""
    rng = np.random.default_rng(0)
    lines = ["device_id,model,latency_ms,timestamp"]
    for device in range(12):
        for day in days:
            ms = (20.0 if device in set(fast) else 40.0) * np.exp(rng.normal(0, 0.01))
            lines.append(f"unit-{device:02d},resnet50,{ms:.4f},2026-11-{day:02d}")
    return "\n".join(lines)


def test_a_cluster_that_devices_came_to_grew(fresh: Callable[[Path], Path], tmp_path: Path) -> None:
    before, since = tmp_path / "before.csv", tmp_path / "since.csv"
    before.write_text(rows(fast=range(4), days=range(1, 11)))
    since.write_text(rows(fast=range(6), days=range(11, 15)))
    with Store.open(str(fresh(tmp_path / "t.db"))) as store:
        ingest(store, before, trace=lambda model: None)
        clustering = ensure_clustering(store, lambda _: None)
        ingest(store, since, trace=lambda model: None)
        found = {f.kind: f for f in findings(store, clustering, ())}
    assert clustering.cluster.tolist() == [0] * 4 + [1] * 8
    moved = found["moved devices"]
    assert moved.says == (
        "2 of 12 devices that reported since behave as another cluster "
        "(unit-04, unit-05; cluster 0 grew from 4 to 6 devices)"
    )
    assert moved.action == "cluster again"
