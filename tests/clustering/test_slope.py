"""What devices are slow at: as many axes as predict rows held out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fleet.measured_fleets import read_fleet
from hdap.clustering.slope import Slopes, find_slopes
from hdap.clustering.workload_effect import decompose
from hdap.fleet_data.records import Devices, Measurements

Simulate = Callable[..., Any]


def slopes_of(rows: Measurements, boundness: Any = None) -> Slopes | None:
    parts = decompose(rows)
    known = None if boundness is None else boundness[parts.configuration_of]
    return find_slopes(parts, rows.device, known, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(10))
def test_noise_has_no_axis(simulate: Simulate, kind: Any, seed: int) -> None:
    fleet = simulate([kind(40), kind(20, 0.5)], seed=seed, context=False)
    assert slopes_of(fleet.measurements) is None
    assert slopes_of(fleet.measurements, fleet.axis) is None


def test_one_axis_for_two_kinds_and_its_slopes(simulate: Simulate, kind: Any) -> None:
    fleet = simulate([kind(40), kind(40, slope=0.1)], dense=0.2, context=False)
    for boundness in (None, fleet.axis):
        found = slopes_of(fleet.measurements, boundness)
        assert found is not None
        assert found.known == (boundness is not None)
        assert len(found.axes) == 1
        value = found.value[:, 0] * np.sign(np.dot(found.axes[0], fleet.axis))
        apart = value[fleet.kind == 1].mean() - value[fleet.kind == 0].mean()
        # Residuals are clipped and slopes drawn to 0.
        assert apart == pytest.approx(0.1 * fleet.axis.std(), rel=0.3)
        wide = found.error[:, 0].mean()
        assert value[fleet.kind == 0].std() == pytest.approx(wide, rel=0.6)


def test_four_ways_to_rank_networks_take_several_axes() -> None:
    rows, kinds = read_fleet("rollout")
    found = slopes_of(rows)
    assert found is not None
    assert 2 <= len(found.axes) <= 4
    np.testing.assert_allclose((found.axes**2).mean(axis=1), 1.0)
    of_kind = [found.value[np.array(kinds) == kind] for kind in ("ort", "ov")]
    apart = np.abs(of_kind[0].mean(axis=0) - of_kind[1].mean(axis=0)).max()
    assert apart > 8 * max(value.std(axis=0).max() for value in of_kind)


def test_a_device_without_pruned_rows_has_no_slope() -> None:
    rows, _ = read_fleet("rollout")
    found = slopes_of(rows.at(rows.dense | (rows.device != 3)))
    assert found is not None
    assert np.isnan(found.value[3]).all()
    assert np.isfinite(np.delete(found.value, 3, axis=0)).all()


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_and_devices_does_not_matter(seed: int) -> None:
    rows, _ = read_fleet("rollout")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows.devices.ids))
    mixed = rows.at(rng.permutation(len(rows)))
    mixed = Measurements(
        **{
            **vars(mixed),
            "device": np.argsort(order)[mixed.device],
            "devices": Devices(rows.devices.ids[order], rows.devices.weights[order]),
        }
    )
    before, after = slopes_of(rows), slopes_of(mixed)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after.value, before.value[order], atol=1e-6)


@pytest.mark.parametrize("devices", [100, 4_000])
def test_a_few_devices_that_measured_do_not_drown_among_those_that_did_not(
    simulate: Simulate, kind: Any, devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdap.clustering.slope.ROWS_FOR_AXIS", 2_000)
    kinds = [kind(devices // 2), kind(devices // 2, slope=0.15)]
    fleet = simulate(kinds, dense=0.2, context=False)
    measuring = np.isin(np.arange(devices), [np.flatnonzero(fleet.kind == k)[:6] for k in (0, 1)])
    rows = fleet.measurements
    found = slopes_of(rows.at(rows.dense | measuring[rows.device]))
    assert found is not None
    assert np.isfinite(found.value[:, 0]).sum() == 12
