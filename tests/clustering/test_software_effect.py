"""What software foretells, and what it does not."""

import numpy as np
import pytest

from hdap.clustering.features import Feature, standardise
from hdap.clustering.software_effect import expected_by_software
from hdap.fleet_data.records import Floats, Ints, TextColumn


def feature(value: Floats, error: float = 0.01) -> Feature:
    return Feature("slope", value, np.full(len(value), error), 0.01)


def column(codes: Ints) -> TextColumn:
    return TextColumn(codes, ("", *(f"v{i}" for i in range(int(codes.max())))))


def test_a_firmware_that_differs_by_chance_foretells_nothing_in_nearly_all_fleets() -> None:
    fleets, believed = 300, 0
    for seed in range(fleets):
        rng = np.random.default_rng(seed)
        behaviours = [feature(rng.standard_t(4, 60) * 0.02) for _ in range(3)]
        software = {name: column(rng.integers(1, 5, 60)) for name in ("firmware", "runtime")}
        found = expected_by_software(behaviours, software)
        believed += any(f.expected is not None for f in found)
    # One in a hundred is what the test allows itself; heavy tails do not raise that.
    assert believed <= 9


def test_a_firmware_of_each_device_its_own_foretells_nothing() -> None:
    rng = np.random.default_rng(0)
    software = {"firmware": column(np.arange(40) + 1)}
    (found,) = expected_by_software([feature(rng.normal(0, 0.2, 40))], software)
    assert found.expected is None


def test_a_runtime_that_ranks_networks_its_own_way_foretells_it_of_its_like() -> None:
    rng = np.random.default_rng(1)
    runtime = np.arange(40) % 2 + 1
    value = 0.05 * (runtime == 2) + rng.normal(0, 0.005, 40)
    # Three devices of each runtime measured pruned networks.
    value[6:] = np.nan
    software = {"runtime": column(runtime), "firmware": column(rng.integers(1, 4, 40))}
    (found,) = expected_by_software([feature(value, 0.005)], software)
    assert found.expected is not None
    place = standardise(found)
    assert place[runtime == 2].min() - place[runtime == 1].max() > 3
    assert place[6:][runtime[6:] == 1].std() == pytest.approx(0.0)


def test_what_only_both_columns_together_say_is_heard() -> None:
    rng = np.random.default_rng(2)
    runtime, precision = rng.integers(1, 3, 80), rng.integers(1, 3, 80)
    value = 0.1 * (runtime == 1) + 0.1 * ((runtime == 2) & (precision == 2))
    software = {"runtime": column(runtime), "precision": column(precision)}
    (found,) = expected_by_software([feature(value + rng.normal(0, 0.01, 80))], software)
    assert found.expected is not None
    np.testing.assert_allclose(found.expected, value, atol=0.01)


def test_a_device_with_many_rows_of_its_own_is_what_it_showed() -> None:
    runtime = np.arange(40) % 2 + 1
    value = np.where(runtime == 2, 0.1, 0.0) + np.random.default_rng(3).normal(0, 0.005, 40)
    value[0] = 0.1
    (found,) = expected_by_software([feature(value, 0.001)], {"runtime": column(runtime)})
    assert found.expected is not None
    place = standardise(found)
    assert place[0] == pytest.approx(np.median(place[runtime == 2]), abs=1.0)
