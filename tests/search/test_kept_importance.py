from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.search.problem.kept_importance import Importance

Read = Callable[[str], Architecture]


def test_the_dense_network_keeps_everything(architecture: Read) -> None:
    model = architecture("resnet50")
    assert Importance.by_channels(model).kept(model.widths[None]) == pytest.approx(1.0)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_kept_importance_is_the_geometric_mean_over_groups(architecture: Read, seed: int) -> None:
    model = architecture("mobilenetv1_100")
    counts = np.random.default_rng(seed).integers(1, model.widths + 1, (7, len(model.groups)))
    expected = [np.prod((row / model.widths) ** (1 / len(row))) for row in counts]
    assert Importance.by_channels(model).kept(counts) == pytest.approx(expected)


def test_curves_weigh_channels_by_what_they_hold() -> None:
    found = Importance("by hand", (np.array([0.0, 0.9, 1.0]), np.array([0.0, 0.5, 0.75, 1.0])))
    counts = np.array([[1, 2], [2, 1]])
    assert found.kept(counts) == pytest.approx([(0.9 * 0.75) ** 0.5, 0.5**0.5])


@pytest.mark.parametrize("curve", [[0.0, 0.5], [0.0, 0.8, 0.7, 1.0], [0.0, np.nan, 1.0], [1.0]])
def test_what_is_no_share_is_refused(curve: list[float]) -> None:
    with pytest.raises(InputError, match="importance curve"):
        Importance("by hand", (np.array(curve),))
