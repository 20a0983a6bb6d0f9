"""What is distinct stays apart, whatever else is merged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.algorithms.partition import LEAST_GAP, merge
from hdap.fleet_data.records import Floats, Ints

SIZE = 300


def staircase(steps: list[float], seed: int = 0) -> tuple[Floats, Ints]:
    """Kinds of unit spread whose centres stand on a line at `steps`, and which is whose."""
    rng = np.random.default_rng(seed)
    places = np.zeros((len(steps), 3))
    places[:, 0] = steps
    labels = np.repeat(np.arange(len(steps)), SIZE)
    return places[labels] + rng.standard_normal((len(labels), 3)), labels


def test_a_merged_pair_does_not_take_in_the_rest_of_a_staircase() -> None:
    points, labels = staircase([0.0, 3.2, 7.2, 11.2, 15.2, 19.2])
    assert merge(points, labels).tolist() == np.maximum(labels - 1, 0).tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1.2, 2.5), min_size=1, max_size=8), st.integers(0, 2**16))
def test_merging_leaves_what_stands_clear_of_all_others(gaps: list[float], seed: int) -> None:
    points, labels = staircase(np.cumsum([0.0, *(LEAST_GAP * gap for gap in gaps)]).tolist(), seed)
    assert merge(points, labels).tolist() == labels.tolist()


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_pieces_of_one_stretch_are_one(pieces: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((3_000, 3))
    points[:, 0] = rng.uniform(0.0, 2.0 * pieces, len(points))
    labels = (points[:, 0] // 2.0).astype(np.int64)
    assert np.unique(merge(points, labels)).tolist() == [0]


def test_asked_for_a_number_the_nearest_go_first() -> None:
    points, labels = staircase([0.0, 4.0, 20.0, 30.0])
    found = merge(points, labels, clusters=3)
    assert adjusted_rand_score(found, np.maximum(labels - 1, 0)) == 1.0
