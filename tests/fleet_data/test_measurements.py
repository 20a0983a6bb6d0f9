"""Reading measurements back, and the contract they keep."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.key_cache import Trace
from hdap.fleet_data.store import Store
from hdap.fleet_data.telemetry import BY_NAME, COLUMNS, CONTEXT, REQUIRED

TEXT = """device_id,model,latency_ms,runtime,batch_size,cpu_freq_mhz
a,m,1,r1,1,100
b,n,2,,2,
a,n,3,r2,,
"""


@pytest.fixture
def filled(store: Store, tracer: Trace, tmp_path: Path) -> Store:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    ingest(store, path, trace=tracer)
    return store


def test_an_empty_store_has_empty_columns(store: Store) -> None:
    found = store.measurements("resnet50")
    assert len(found) == len(found.devices.ids) == len(found.models) == 0
    assert found.context == {}
    assert store.model_counts() == ()
    assert store.measured_models() == ()


def test_one_models_measurements_index_all_devices(filled: Store) -> None:
    found = filled.measurements("n")
    assert found.models == ("n",)
    assert found.devices.ids[found.device].tolist() == ["b", "a"]
    assert [found.runtimes[at] for at in found.runtime] == ["", "r2"]
    assert (found.batch_size.tolist(), found.latency_ms.tolist()) == ([2, 1], [2, 3])
    assert found.context == {}
    everything = filled.measurements()
    assert [everything.models[at] for at in everything.configuration] == ["m", "n", "n"]
    np.testing.assert_array_equal(everything.context["cpu_freq_mhz"], [100, np.nan, np.nan])


def test_a_row_is_kept_in_few_bytes(filled: Store) -> None:
    found = filled.measurements()
    kinds = {name: getattr(found, name).dtype for name in ("device", "configuration", "latency_ms")}
    assert kinds == {"device": np.int32, "configuration": np.int32, "latency_ms": np.float64}
    assert found.context["cpu_freq_mhz"].dtype == np.float32
    assert found.measured_at.strides == (0,)  # no row has one: one NaN for all
    assert np.isnan(found.measured_at).all()


def test_what_came_after_a_mark_is_read_alone(filled: Store, tracer: Trace, tmp_path: Path) -> None:
    mark = filled.measurement_mark()
    assert len(filled.measurements(after_mark=mark)) == 0
    path = tmp_path / "u.csv"
    path.write_text(TEXT + "c,n,9,,,\n")
    ingest(filled, path, trace=tracer)
    assert filled.measurement_mark() > mark
    assert filled.measurements(after_mark=mark).latency_ms.tolist() == [9]


def test_counts_are_by_model(filled: Store) -> None:
    counts = [(one.model, one.measurements, one.devices) for one in filled.model_counts()]
    assert counts == [("m", 1, 1), ("n", 2, 2)]
    assert filled.measured_models() == ("m", "n")


def test_many_blocks_are_read_as_one(filled: Store, monkeypatch: Any) -> None:
    whole = filled.measurements()
    monkeypatch.setattr("hdap.fleet_data.store.load_measurements._BLOCK", 1)
    np.testing.assert_array_equal(filled.measurements().latency_ms, whole.latency_ms)


def test_the_contract_is_the_designs() -> None:
    assert REQUIRED == ("device_id", "model", "latency_ms")
    assert len(COLUMNS) == len(BY_NAME) == 25
    assert len(CONTEXT) == 10
    assert all(column.meaning and column.accepted for column in COLUMNS)
