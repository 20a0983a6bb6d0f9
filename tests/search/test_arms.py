"""Dense and pruned in each precision, on the runtimes that have both."""

from collections.abc import Callable

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.search.analysis.arms import Arm, ClusterLatencies, arms
from hdap.search.problem.fleet_weights import FleetWeights

Traced = Callable[[str], Architecture]
ARCHITECTURE = "mobilenetv1_100"
KERNELS = [("ort", "float32"), ("ov", "float32"), ("ov", "int8"), ("ncnn", "int8"), ("", "")]
SHARES = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
FLEET = FleetWeights(SHARES, np.ones((5, 1)), SHARES[:, None])
MS = np.array([[40.0, 30.0, 10.0, 20.0, 50.0], [10.0, 9.0, 3.0, 5.0, 11.0]])


def found(architecture: Architecture, kernels: list[tuple[str, str]]) -> tuple[Arm, ...]:
    latencies = ClusterLatencies(MS, (True, False))
    half = architecture.widths // 2
    return arms(architecture, half, kernels, FLEET, latencies, (0.7, 0.69))


def test_four_arms_on_the_runtime_that_has_both(architecture: Traced) -> None:
    table = found(architecture(ARCHITECTURE), KERNELS)
    assert [(a.network, a.precision) for a in table] == [
        ("dense", "float32"),
        ("pruned", "float32"),
        ("dense", "int8"),
        ("pruned", "int8"),
    ]
    assert {a.runtimes for a in table} == {("ov",)}
    assert [a.latency_ms for a in table] == pytest.approx([30, 9, 10, 3])
    assert [a.over_full for a in table] == pytest.approx([1, 30 / 9, 3, 10])
    assert [a.measured for a in table] == [True, False, True, False]
    assert {round(a.weight_share, 9) for a in table} == {0.4}
    dense, pruned, small, smallest = table
    assert dense.weight_bytes == 4 * (small.weight_bytes or 0)
    assert pruned.weight_bytes == 4 * (smallest.weight_bytes or 0)
    assert dense.flops == small.flops > pruned.flops


def test_accuracy_stands_where_it_is_known(architecture: Traced) -> None:
    table = found(architecture(ARCHITECTURE), KERNELS)
    assert [a.accuracy for a in table[:2]] == [0.7, 0.69]
    assert np.isnan([a.accuracy for a in table[2:]]).all()


def test_a_precision_that_nobody_measured_beside_the_full_one_has_no_row(
    architecture: Traced,
) -> None:
    apart = [("ort", "float32"), ("ov", "float32"), ("ncnn", "int8"), ("ncnn", "int8"), ("", "")]
    assert found(architecture(ARCHITECTURE), apart) == ()
    assert found(architecture(ARCHITECTURE), [("ort", "float32")] * 5) == ()


def test_runtimes_count_with_their_share_of_the_fleet(architecture: Traced) -> None:
    both = [*KERNELS[:4], ("ncnn", "float32")]
    table = found(architecture(ARCHITECTURE), both)
    ov, ncnn = 0.4, 0.2
    mean = [(ov * a + ncnn * b) / (ov + ncnn) for a, b in ((30, 50), (9, 11), (10, 20), (3, 5))]
    assert [a.latency_ms for a in table] == pytest.approx(mean)
