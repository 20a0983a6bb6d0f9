"""Devices of four software states, of which two take equally long for the dense network."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from benchmarks.fleet.clustering import View, views
from benchmarks.fleet.measured_fleets import boundness, read_fleet, with_software
from hdap.fleet_data.records import ClusteringRecord

Run = Callable[..., ClusteringRecord]
EVERY = {(view.fleet, view.rows, view.columns): view for view in views()}
VIEWS = {
    (rows, columns): view for (fleet, rows, columns), view in EVERY.items() if fleet == "rollout"
}


def index(view: View, run: Run) -> float:
    record = run(view.measurements)
    return float(adjusted_rand_score(view.kinds, record.cluster))


@pytest.mark.parametrize("columns", ["none", "software"])
def test_states_are_told_apart_by_how_they_rank_pruned_networks(run: Run, columns: str) -> None:
    assert index(VIEWS["all", columns], run) == 1.0


@pytest.mark.parametrize("rows", ["all", "few", "dense"])
@pytest.mark.parametrize("fleet", ["int8", "int8-mobilenetv2"])
def test_six_states_of_which_four_take_equally_long_are_six_clusters(
    run: Run, fleet: str, rows: str
) -> None:
    assert index(EVERY[fleet, rows, "software"], run) == 1.0


def test_clusters_are_told_by_what_their_devices_run(run: Run) -> None:
    view = VIEWS["all", "software"]
    record = run(view.measurements)
    told = {
        kind: record.clusters[record.cluster[view.kinds.index(kind)]].description
        for kind in set(view.kinds)
    }
    assert told["ort"].endswith("runs onnxruntime 1.32, float32")
    assert told["ovbf16"] == "1.80x faster than the fleet; runs openvino 2026.4, bfloat16"
    assert "firmware" not in "".join(told.values())


def test_a_known_memory_boundness_hides_no_other_axis(run: Run) -> None:
    rows, kinds = read_fleet("rollout")
    record = run(rows, memory_boundness=boundness(rows))
    assert adjusted_rand_score(kinds, record.cluster) == 1.0


def test_software_says_it_of_devices_that_measured_no_pruned_network(run: Run) -> None:
    assert index(VIEWS["few", "software"], run) == 1.0
    assert index(VIEWS["few", "none"], run) < 0.9


def test_two_runtimes_that_take_equally_long_are_two_clusters(run: Run) -> None:
    assert index(VIEWS["dense", "software"], run) == 1.0
    assert index(VIEWS["dense", "none"], run) < 0.7


def test_in_the_middle_of_a_roll_out_a_device_is_what_it_runs_now(run: Run) -> None:
    rows, kinds = read_fleet("rollout")
    told = with_software(rows, kinds)
    whole = run(told)
    # A device of ONNX Runtime that was one of ncnn before: its rows of then, and its own.
    new, old = kinds.index("ort"), kinds.index("ncnn")
    then = np.flatnonzero(told.device == old)
    both = told.at(np.concatenate([then, np.arange(len(told))]))
    both.device[: len(then)] = new
    both.measured_at[:] = np.arange(len(both))
    mixed = run(both)
    np.testing.assert_array_equal(mixed.cluster, whole.cluster)
    np.testing.assert_allclose(mixed.fingerprint, whole.fingerprint)
    assert mixed.software[new] == whole.software[new]
