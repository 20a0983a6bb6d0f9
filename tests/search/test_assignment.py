import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from hdap.fleet_data.records import Floats
from hdap.search.sizes.assignment import HYSTERESIS, assign, reassign
from hdap.search.sizes.device_speeds import DeviceSpeeds, drawn_to_cluster
from hdap.surrogate.models.base import Prediction

KEPT = np.array([0.3, 0.5, 0.8])
MS = np.array([[10.0], [16.0], [25.0]])
DEADLINE, SURE = 20.0, 0.95


def seen(sd: float = 0.03) -> Prediction:
    return Prediction(np.log(MS), np.full(MS.shape, sd))


def devices(factors: Floats, sd: float = 0.01) -> DeviceSpeeds:
    n = len(factors)
    ids = np.array([f"d{i}" for i in range(n)], dtype=object)
    alike = np.full(n, 1.0 / n)
    return DeviceSpeeds(ids, np.zeros(n, np.int64), alike, np.log(factors), np.full(n, sd))


def rows(factors: list[float], now: list[int] | None = None) -> list[int]:
    speeds = devices(np.array(factors))
    found = assign(speeds, seen(), KEPT, DEADLINE, SURE)
    if now is not None:
        found = reassign(speeds, seen(), KEPT, DEADLINE, SURE, np.array(now))
    return [int(row) for row in found.row]


def test_each_device_runs_the_largest_that_it_runs_in_time() -> None:
    assert rows([0.7, 1.0, 1.5, 9.0]) == [2, 1, 0, 0]


@given(st.lists(st.floats(0.2, 8.0), min_size=1, max_size=20), st.floats(0.001, 0.3))
def test_nothing_larger_is_sure_and_a_doubtful_device_runs_no_more(
    factors: list[float], doubt: float
) -> None:
    speeds = devices(np.array(factors), doubt)
    found = assign(speeds, seen(), KEPT, DEADLINE, SURE)
    for network in range(3):
        sure = speeds.probabilities(seen(), network, DEADLINE) >= SURE
        assert (KEPT[found.row[sure]] >= KEPT[network]).all()
    certain = assign(devices(np.array(factors), 0.0), seen(), KEPT, DEADLINE, SURE)
    assert (KEPT[found.row] <= KEPT[certain.row]).all()


def test_a_device_at_an_edge_stays_where_it_is() -> None:
    # 16 ms times 1.19 is 19.04: 94 % sure, no longer what is asked and no reason to move yet
    assert rows([1.19]) == [0]
    assert rows([1.19], now=[1]) == [1]
    assert rows([1.19], now=[0]) == [0]
    assert rows([1.35], now=[1]) == [0]  # clearly late there
    assert rows([1.0], now=[0]) == [1]  # clearly in time on the larger
    assert rows([1.19], now=[-1]) == [0]


def test_a_device_rises_to_the_largest_it_is_surely_in_time_on() -> None:
    sd = 0.05
    ms = np.log(DEADLINE) - sd * norm.ppf([0.9999, 0.999, 0.96])
    found = Prediction(ms[:, None], np.full((3, 1), sd))
    speed = devices(np.ones(1), 0.0)
    for now, expected in ((-1, 2), (0, 1), (1, 1), (2, 2)):
        done = reassign(speed, found, KEPT, DEADLINE, SURE, np.array([now]))
        assert done.row.tolist() == [expected]


@given(st.floats(0.3, 3.0), st.integers(0, 2))
def test_who_moved_once_does_not_move_again(factor: float, now: int) -> None:
    (once,) = rows([factor], now=[now])
    assert rows([factor], now=[once]) == [once]


@given(st.floats(0.3, 3.0), st.integers(0, 2))
def test_who_stays_is_not_clearly_late(factor: float, now: int) -> None:
    speeds = devices(np.array([factor]))
    found = reassign(speeds, seen(), KEPT, DEADLINE, SURE, np.array([now]))
    least = 1.0 - (1.0 - SURE) * HYSTERESIS
    fastest = speeds.probabilities(seen(), 0, DEADLINE)[0]
    assert found.probability[0] >= min(least, fastest) - 1e-9 or fastest < SURE


def test_a_device_of_few_rows_is_drawn_to_its_cluster() -> None:
    factor, spread = np.log(np.array([1.2, 1.2, 1.2])), np.full(3, 0.05)
    mean, sd = drawn_to_cluster(factor, np.array([0.2, 0.02, np.nan]), spread)
    assert 0.0 < mean[0] < mean[1] < factor[1]
    assert sd[1] < sd[0] <= 0.05
    assert (mean[2], sd[2]) == (factor[2], sd[2])
