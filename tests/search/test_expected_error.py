from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import Measurements
from hdap.search.planning.expected_error import (
    BUNDLED,
    LearningCurve,
    bundled_curve,
    errors_at,
    learning_curve,
)
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.training_data.training_cells import TrainingData, training_data


@pytest.fixture(scope="module")
def data(
    measured: Callable[[str], Measurements], architecture: Callable[[str], Architecture]
) -> TrainingData:
    measurements = measured("resnet50")
    found = cluster(measurements, created_at=datetime.now(UTC), measurement_mark=0, resamples=0)
    return training_data(architecture("resnet50"), measurements, found)


def test_a_power_law_is_found_again_and_extrapolated() -> None:
    sizes = np.array([10.0, 20.0, 40.0])
    curve = LearningCurve.through(sizes, 0.2 * sizes**-0.5, "a test")
    assert curve.expected(160) == pytest.approx(0.2 * 160**-0.5)


def test_an_error_that_grew_by_chance_is_expected_to_stay() -> None:
    curve = LearningCurve.through(np.array([10.0, 20.0]), np.array([0.03, 0.04]), "a test")
    assert curve.rate == 0.0
    assert curve.expected(1000) == pytest.approx(np.sqrt(0.03 * 0.04))


def test_the_bundled_curve_is_what_the_measured_fleet_gives(data: TrainingData) -> None:
    sizes = [size for size, _ in BUNDLED[1:3]]
    found = errors_at(FleetModel, data, sizes, seed=0)
    np.testing.assert_allclose(found, [error for _, error in BUNDLED[1:3]], atol=0.006)
    assert bundled_curve().expected(200) < bundled_curve().expected(20)


def test_the_curve_of_stored_data_predicts_its_own_cross_validation(data: TrainingData) -> None:
    curve = learning_curve(FleetModel, data)
    assert curve is not None
    assert curve.source == "this fleet's own data"
    np.testing.assert_allclose(
        [curve.expected(int(n)) for n in curve.configurations], curve.errors, rtol=0.1
    )


def test_too_few_configurations_have_no_curve(data: TrainingData) -> None:
    few = data.at(data.dense | (data.configuration < 10))
    assert learning_curve(FleetModel, few) is None
