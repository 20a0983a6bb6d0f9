from collections.abc import Callable

import numpy as np
import pytest

from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.roofline import Roofline
from hdap.surrogate.training_data.training_cells import TrainingData
from hdap.surrogate.validation.learning_curve import newcomer_scores, scores_at


@pytest.mark.parametrize(("own", "most"), [(5, 0.042), (20, 0.038)])
def test_a_newcomer_needs_few_rows_of_its_own(
    learned_from: Callable[[str], TrainingData], own: int, most: float
) -> None:
    found = newcomer_scores(FleetModel, learned_from("resnet50"), own, 0)
    assert [s.cluster for s in found] == [0, 1, 2, 3]
    assert np.mean([s.mape for s in found]) < most
    assert np.mean([s.kendall_tau for s in found]) > 0.89


def test_what_others_know_helps_a_newcomer(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from("mobilenetv1_100")
    helped, alike = newcomer_scores(FleetModel, data, 5, 1), scores_at(FleetModel, data, 5, 1)
    assert [s.cells for s in helped] == [s.cells for s in alike]
    assert np.mean([s.mape for s in helped]) < np.mean([s.mape for s in alike])


def test_figures_repeat_for_a_seed(learned_from: Callable[[str], TrainingData]) -> None:
    data = learned_from("resnet50")
    first, again = (newcomer_scores(Roofline, data, 10, 2) for _ in range(2))
    assert [s.mape for s in first] == [s.mape for s in again]
