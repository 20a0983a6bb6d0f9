"""Who has measured for a cluster goes on representing it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import ClusteringRecord
from hdap.fleet_data.store import Store
from hdap.workflows.fleet_artifacts import ensure_clustering

DEVICES = 14


def _rows(rng: np.random.Generator, names: list[str], scale: float, channels: str) -> pl.DataFrame:
    each = np.repeat(np.array(names), 6)
    latency = 50 * scale * np.exp(rng.normal(0, 0.02, len(each)))
    return pl.DataFrame(
        {"device_id": each, "model": "resnet50", "latency_ms": latency, "channels": channels}
    )


def _chosen(found: ClusteringRecord) -> set[str]:
    return set(found.device_ids[found.representative].tolist())


def test_representatives_that_measured_stay_and_others_may_change(
    tmp_path: Path, architecture: Callable[[str], Architecture]
) -> None:
    rng = np.random.default_rng(1)
    names = [f"cam-{i:02d}" for i in range(DEVICES)]
    with Store.open(str(tmp_path / "hdap.db")) as store:

        def add(frame: pl.DataFrame) -> ClusteringRecord:
            ingest(store, frame, trace=architecture)
            return ensure_clustering(store, lambda line: None)

        first = _chosen(add(_rows(rng, names, 1.0, "")))
        others = _chosen(add(_rows(rng, names, 1.0, "")))
        assert others != first  # nobody had measured: whoever is in the middle now
        measured = _chosen(add(_rows(rng, sorted(others), 0.8, "conv1=32")))
        assert measured == others
        for _ in range(3):
            assert _chosen(add(_rows(rng, names, 1.0, ""))) == others
