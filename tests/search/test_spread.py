import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hdap.search.analysis.spread import apart, different, evenly


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10**6))
def test_a_list_is_filled_with_networks_as_different_as_there_are(
    n: int, size: int, seed: int
) -> None:
    counts = np.random.default_rng(seed).integers(1, 4, size=(n, 8))
    chosen = different(counts, size)
    several = len(np.unique(counts, axis=0))
    assert len(chosen) == min(size, several)
    assert chosen[0] == 0
    assert (np.diff(chosen) > 0).all()
    assert len(np.unique(counts[chosen], axis=0)) == len(chosen)


def test_ten_times_the_best_network_is_no_list() -> None:
    rng = np.random.default_rng(0)
    near = np.full((300, 36), 64)
    near[np.arange(300), rng.integers(0, 36, 300)] += 16
    other = rng.integers(1, 9, size=(40, 36)) * 16
    counts = np.vstack([near, other])
    chosen = different(counts, 10)
    assert chosen[0] == 0
    assert (chosen[1:] >= 300).all()
    assert apart(counts, 10, 1).max() < 300


@given(st.integers(2, 80), st.integers(1, 12), st.integers(0, 10**6))
def test_a_front_is_spread_along_its_length(n: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    front = np.stack([np.sort(rng.random(n)), np.sort(rng.random(n))[::-1]], axis=1)
    places = evenly(front, size)
    assert places[0] == 0
    assert len(np.unique(places)) == len(places) <= min(size, n)
    assert size == 1 or places[-1] == n - 1
    assert evenly(front[:0], size).tolist() == []


def test_a_front_whose_fast_end_is_crowded_shows_the_other_end_too() -> None:
    front = np.stack([np.r_[np.linspace(1, 1.01, 90), 2, 3, 4], -np.r_[np.arange(93)]], axis=1)
    assert set(evenly(front, 10).tolist()) >= {0, 92}
    assert (front[evenly(front, 10), 0] > 1.5).sum() >= 3
