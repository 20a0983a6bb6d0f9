"""What is known of devices that ran without rest, and what it does to the fleet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hdap.clustering.sustained_ratios import sustained_ratios
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store
from hdap.workflows.fleet_artifacts import ensure_clustering


def telemetry(*, hot: bool) -> list[str]:
    """Twelve devices of two kinds, 20 and 40 ms; the fast ones throttle to 60 ms when hot."""
    rng = np.random.default_rng(0)
    lines = ["device_id,model,latency_ms,timestamp,sustained_s"]
    for device in range(12):
        base = 20.0 if device < 6 else 40.0
        for day in range(1, 11):
            ms = base * np.exp(rng.normal(0, 0.01))
            lines.append(f"unit-{device:02d},resnet50,{ms:.4f},2026-11-{day:02d},")
        if hot and device % 3 == 0:
            lines.append(f"unit-{device:02d},resnet50,{base},2026-11-12T10:00:00,0")
            after = 60.0 if device < 6 else 44.0
            lines.append(f"unit-{device:02d},resnet50,{after},2026-11-12T10:19:00,1140")
    return lines


@pytest.fixture
def stored(fresh: Callable[[Path], Path], tmp_path: Path) -> Callable[[bool], Store]:
    def make(hot: bool) -> Store:
        path = tmp_path / "t.csv"
        path.write_text("\n".join(telemetry(hot=hot)))
        store = Store.open(str(fresh(tmp_path / "t.db")))
        ingest(store, path, trace=lambda model: None)
        return store

    return make


def test_hot_rows_cluster_nobody_and_say_who_throttles(stored: Callable[[bool], Store]) -> None:
    with stored(True) as store:
        record = ensure_clustering(store, lambda _: None)
        found = sustained_ratios(store.measurements(), record)
    assert record.cluster.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(record.factor, 1.0, atol=0.02)
    assert found.measured.nonzero()[0].tolist() == [0, 3, 6, 9]
    np.testing.assert_allclose(found.ratio, [3.0] * 6 + [1.1] * 6)
    assert found.seconds == 1140
    assert found.words.startswith("sustained: 4 devices of 12 ran for 19.0 min without rest")


def test_without_such_rows_it_says_how_to_get_them(stored: Callable[[bool], Store]) -> None:
    with stored(False) as store:
        record = ensure_clustering(store, lambda _: None)
        with pytest.raises(NotEnoughDataError, match="--sustained 20m"):
            sustained_ratios(store.measurements(), record)
