from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import Measurements
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.training_data.training_cells import TrainingData, training_data
from hdap.surrogate.validation.calibration_check import Residuals, residuals
from hdap.surrogate.validation.cross_validation import calibration, cross_validate


@pytest.fixture(scope="module")
def parts(
    measured: Callable[[str], Measurements], architecture: Callable[[str], Architecture]
) -> tuple[FleetSurrogate, TrainingData]:
    """A surrogate that learned from half of the configurations, and the other half."""
    measurements = measured("resnet50")
    found = cluster(measurements, created_at=datetime.now(UTC), measurement_mark=0, resamples=0)
    data = training_data(architecture("resnet50"), measurements, found)
    unseen = data.configuration % 2 == 0
    known = data.at(data.dense | ~unseen)
    factors = calibration(cross_validate(FleetModel, known), data.clusters)
    return FleetModel.fit(known).calibrated(factors), data.at(~data.dense & unseen)


def test_measurements_as_predicted_stay_in_their_interval(
    parts: tuple[FleetSurrogate, TrainingData],
) -> None:
    found = residuals(*parts)
    assert [r.cluster for r in found] == [0, 1, 2, 3]
    assert not any(r.left for r in found)
    assert all(abs(r.bias) < 0.03 and r.cells > 50 for r in found)


def test_a_cluster_that_grew_slower_leaves_its_interval(
    parts: tuple[FleetSurrogate, TrainingData],
) -> None:
    surrogate, unseen = parts
    slower = replace(
        unseen, latency_ms=unseen.latency_ms * np.where(unseen.cluster == 2, 1.15, 1.0)
    )
    found = residuals(surrogate, slower)
    assert [r.left for r in found] == [False, False, True, False]
    assert found[2].bias == pytest.approx(0.15, abs=0.03)


@pytest.mark.parametrize(("bias", "off"), [(1.6, True), (-0.62, True), (0.3, False), (-0.3, False)])
def test_one_measurement_off_by_a_factor_is_no_chance(bias: float, off: bool) -> None:
    seen = Residuals(0, cells=1, inside=0, bias=bias)
    assert (seen.off, seen.left) == (off, off)


def test_nothing_pruned_says_nothing(parts: tuple[FleetSurrogate, TrainingData]) -> None:
    surrogate, unseen = parts
    assert residuals(surrogate, unseen.at(np.zeros(len(unseen), dtype=np.bool_))) == ()


@pytest.mark.parametrize(
    ("cells", "inside", "left"), [(4, 0, False), (5, 1, True), (20, 18, False), (20, 12, True)]
)
def test_only_what_chance_does_not_explain_counts(cells: int, inside: int, left: bool) -> None:
    assert Residuals(0, cells, inside, 0.0).left is left
