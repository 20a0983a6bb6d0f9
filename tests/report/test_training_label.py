"""A run whose number is no accuracy says so where runs are named."""

from datetime import UTC, datetime

import pytest

from hdap.fleet_data.records import EpochRecord
from hdap.report.pictures.training_picture import training_label


@pytest.mark.parametrize(
    ("metric", "label"), [("accuracy", "tuned"), ("", "tuned"), ("my.code:map50", "tuned (map50)")]
)
def test_a_run_has_the_name_of_its_metric(metric: str, label: str) -> None:
    numbers = (1.0, 1.1, 0.5, 0.01, 500.0, 2.0)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    epoch = EpochRecord("tuned", 1, "out/tuned", "resnet50", *numbers, 0, at, metric)
    assert training_label(epoch) == label
