import numpy as np
import pytest

from hdap.search.problem.bayesian_regression import BayesianRegression

SLOPES = np.array([0.5, 1.0, 1.5, 0.0, 1.0, 2.0])
NOISE = 0.3
Z90 = 1.645


def _drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(SLOPES)))
    return x, 3.0 + x @ SLOPES + NOISE * rng.normal(size=n)


def test_many_observations_tell_every_slope() -> None:
    found = BayesianRegression.of(*_drawn(400, 0))
    assert found.slopes == pytest.approx(SLOPES, abs=0.1)
    assert found.noise**0.5 == pytest.approx(NOISE, rel=0.6)
    x, y = _drawn(200, 1)
    assert np.abs(found.expected(x) - y).mean() < 1.2 * NOISE


@pytest.mark.parametrize("n", [5, 8, 30])
def test_intervals_hold_with_few_observations(n: int) -> None:
    inside, smaller = [], []
    for seed in range(40):
        found = BayesianRegression.of(*_drawn(n, seed))
        x, y = _drawn(50, 1000 + seed)
        inside.append((np.abs(found.expected(x) - y) <= Z90 * found.sd(x)).mean())
        smaller.append(np.abs(found.expected(x) - y).mean() < np.abs(y - y.mean()).mean())
    assert 0.8 <= np.mean(inside) <= 0.99
    assert np.mean(smaller) > 0.5


def test_one_observation_is_its_own_mean_and_says_nothing_of_slopes() -> None:
    found = BayesianRegression.of(np.ones((1, 3)), np.array([0.8]))
    assert found.expected(np.zeros((2, 3))).tolist() == [0.8, 0.8]
    assert not found.slopes.any()


def test_doubt_grows_with_the_distance_and_a_difference_holds_the_noise_of_two() -> None:
    found = BayesianRegression.of(*_drawn(10, 0))
    near, far = found.center + 0.1, found.center + 3.0
    doubt = found.sd(np.stack([near, far]))
    assert doubt[0] < doubt[1]
    same = found.sd(near[None], over=near)
    assert same[0] == pytest.approx((2.0 * found.noise) ** 0.5)


def test_the_order_of_observations_does_not_matter() -> None:
    x, y = _drawn(12, 0)
    one, other = BayesianRegression.of(x, y), BayesianRegression.of(x[::-1], y[::-1])
    assert one.slopes == pytest.approx(other.slopes)
