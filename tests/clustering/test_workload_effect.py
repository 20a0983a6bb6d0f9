import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.clustering.grouping import grouped_median, weighted_median
from hdap.clustering.workload_effect import decompose

Simulate = Callable[..., Any]


@pytest.mark.parametrize("seed", range(3))
def test_offsets_are_recovered_where_devices_measured_different_things(
    simulate: Simulate, kind: Any, seed: int
) -> None:
    kinds = [kind(20, 0.0), kind(10, 0.5), kind(3, 1.0)]
    fleet = simulate(kinds, seed=seed, dense=0.0, configurations=60, rows=30, noise=0.01)
    parts = decompose(fleet.measurements)
    expected = fleet.offset - np.median(fleet.offset)
    assert np.abs(parts.offset - expected).max() < 0.03


def test_offsets_are_exact_without_noise(simulate: Simulate, kind: Any) -> None:
    fleet = simulate([kind(8, 0.0), kind(8, 0.7)], dense=0.1, noise=0.0, rows=12)
    parts = decompose(fleet.measurements)
    expected = fleet.offset - np.median(fleet.offset)
    np.testing.assert_allclose(parts.offset, expected, atol=1e-5)
    np.testing.assert_allclose(parts.residual, 0.0, atol=1e-5)


def test_a_slow_kind_that_measures_other_networks_is_still_slow(
    simulate: Simulate, kind: Any, only: Any
) -> None:
    fleet = simulate([kind(10, 0.0), kind(10, 0.6)], rows=40, dense=0.3)
    rows = fleet.measurements
    odd = rows.configuration % 2 == 1
    slow = fleet.kind[rows.device] == 1
    apart = only(rows, (rows.configuration == 0) | (odd == slow))
    parts = decompose(apart)
    gap = np.median(parts.offset[fleet.kind == 1]) - np.median(parts.offset[fleet.kind == 0])
    assert abs(gap - 0.6) < 0.03


def test_stalled_rows_do_not_move_a_device(simulate: Simulate, kind: Any) -> None:
    fleet = simulate([kind(12)], rows=20)
    latency = fleet.measurements.latency_ms.copy()
    latency[::10] *= 50.0
    stalled = dataclasses.replace(fleet.measurements, latency_ms=latency)
    before, after = decompose(fleet.measurements), decompose(stalled)
    assert np.abs(before.offset - after.offset).max() < 0.05


def test_parts_that_share_no_workload_each_have_their_own_median(
    simulate: Simulate, kind: Any, only: Any
) -> None:
    fleet = simulate([kind(11, 0.0), kind(11, 0.9)], dense=0.0, configurations=10, rows=40)
    rows = fleet.measurements
    even = rows.configuration % 2 == 0
    parts = decompose(only(rows, even == (fleet.kind[rows.device] == 0)))
    for number in (0, 1):
        assert abs(np.median(parts.offset[fleet.kind == number])) < 1e-9


def test_a_device_without_rows_has_no_offset(simulate: Simulate, kind: Any, only: Any) -> None:
    fleet = simulate([kind(5)])
    parts = decompose(only(fleet.measurements, fleet.measurements.device != 2))
    assert np.flatnonzero(np.isnan(parts.offset)).tolist() == [2]


def test_batch_size_and_runtime_make_their_own_workloads(simulate: Simulate, kind: Any) -> None:
    rows = simulate([kind(6)], configurations=2, dense=1.0, noise=0.0).measurements
    batch = np.where(np.arange(len(rows)) % 2, 8, 1)
    batched = dataclasses.replace(rows, batch_size=batch, latency_ms=rows.latency_ms * batch)
    parts = decompose(batched)
    assert len(parts.effect) == 2
    assert abs(np.diff(parts.effect)[0] - np.log(8)) < 1e-6
    assert parts.configuration_of.tolist() == [0, 0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.floats(-1e3, 1e3, allow_nan=False)),
        min_size=1,
        max_size=40,
    )
)
def test_grouped_median_is_the_median_of_each_group(rows: list[tuple[int, float]]) -> None:
    groups = np.array([group for group, _ in rows])
    values = np.array([value for _, value in rows])
    found = grouped_median(groups, values, 6)
    for group in range(6):
        members = values[groups == group]
        if len(members):
            assert found[group] == pytest.approx(np.median(members), abs=1e-9)
        else:
            assert np.isnan(found[group])


def test_grouped_median_leaves_out_what_is_unknown() -> None:
    found = grouped_median(np.array([0, 0, 0, 1]), np.array([1.0, np.nan, 3.0, np.nan]), 2)
    assert found[0] == 2.0
    assert np.isnan(found[1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 4)), min_size=1, max_size=15))
def test_weighted_median_is_the_median_of_repeated_values(rows: list[tuple[float, int]]) -> None:
    values = np.array([value for value, _ in rows])
    weights = np.array([weight for _, weight in rows])
    expected = float(np.median(np.repeat(values, weights)))
    assert weighted_median(values, weights.astype(float)) == pytest.approx(expected)
