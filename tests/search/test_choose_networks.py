from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats
from hdap.search.sizes.assignment import assign
from hdap.search.sizes.choose_networks import choose_networks
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.surrogate.models.base import Prediction

DEADLINE = 20.0


def devices(factors: Floats) -> DeviceSpeeds:
    n = len(factors)
    ids = np.array([f"d{i}" for i in range(n)], dtype=object)
    return DeviceSpeeds(
        ids, np.zeros(n, np.int64), np.full(n, 1.0 / n), np.log(factors), np.zeros(n)
    )


def seen(ms: Floats) -> Prediction:
    return Prediction(np.log(ms)[:, None], np.full((len(ms), 1), 1e-6))


def quality(speeds: DeviceSpeeds, ms: Floats, kept: Floats, rows: list[int]) -> float:
    found = assign(speeds, seen(ms[rows]), kept[rows], DEADLINE, 0.95)
    return float(speeds.weight @ kept[rows][found.row])


@given(
    st.lists(st.floats(0.3, 3.0), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(5.0, 60.0), st.floats(0.0, 1.0)), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_no_other_choice_keeps_more(
    factors: list[float], candidates: list[tuple[float, float]], networks: int
) -> None:
    speeds = devices(np.array(factors))
    ms = np.array([*(ms for ms, _ in candidates), 1.0])  # everybody runs the last
    kept = np.array([*(k for _, k in candidates), 0.0])
    rows = choose_networks(speeds, seen(ms), kept, DEADLINE, networks, share=1.0)
    assert len(rows) <= networks
    best = max(
        quality(speeds, ms, kept, list(few))
        for size in range(1, networks + 1)
        for few in combinations(range(len(ms)), size)
        if (ms[list(few)].min() * np.array(factors) <= DEADLINE * 0.999).all()
    )
    assert quality(speeds, ms, kept, rows.tolist()) >= best - 1e-3


def test_too_slow_networks_are_refused() -> None:
    speeds = devices(np.array([1.0, 2.0]))
    with pytest.raises(InfeasibleError, match="reaches 50"):
        choose_networks(speeds, seen(np.array([15.0])), np.array([1.0]), DEADLINE, 2)
