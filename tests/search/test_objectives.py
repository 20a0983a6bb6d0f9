import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.search.problem.budget import parse_ms
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.objectives import Cvar, Deadline, Objective, parse_goals, parse_objective
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]
TEXTS = ("mean", "p95", "worst", "cvar:0.9", "cvar:0.5", "deadline:20ms")


def _fleet(seed: int, devices: int = 40, clusters: int = 3) -> tuple[FleetWeights, Floats, Floats]:
    rng = np.random.default_rng(seed)
    factors = np.sort(rng.lognormal(0.0, 0.2, (clusters, devices)), axis=1)
    shares = rng.lognormal(0.0, 1.0, (clusters, devices))
    shares /= shares.sum()
    return FleetWeights((factors * shares).sum(axis=1), factors, shares), factors, shares


def _slowest(latency: Floats, weights: Floats, level: float) -> float:
    left, total = 1.0 - level, 0.0
    for at in (-latency).argsort():
        taken = min(weights[at], left)
        total, left = total + taken * latency[at], left - taken
    return total / (1.0 - level)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), level=st.sampled_from([0.0625, 0.5, 0.9, 0.99]))
def test_cvar_is_the_mean_of_the_slowest_devices(seed: int, level: float) -> None:
    fleet, factors, shares = _fleet(seed)
    ms = np.random.default_rng(seed + 1).uniform(5.0, 50.0, (5, 3))
    each = (ms[:, :, None] * factors).reshape(5, -1)
    expected = [_slowest(row, shares.ravel(), level) for row in each]
    assert Cvar(level).of(fleet, ms) == pytest.approx(expected)


def test_cvar_lies_between_the_percentile_and_the_slowest_device() -> None:
    fleet, factors, _ = _fleet(1)
    ms = np.random.default_rng(2).uniform(5.0, 50.0, (20, 3))
    tail = Cvar(0.95).of(fleet, ms)
    assert (tail >= fleet.percentile(ms, 0.95) - 1e-9).all()
    assert (tail <= (ms * factors.max(axis=1)).max(axis=1)).all()


def test_a_deadline_reports_the_share_of_the_weight_within_it() -> None:
    fleet, factors, shares = _fleet(3)
    ms = np.random.default_rng(4).uniform(10.0, 40.0, (20, 3))
    within = ((ms[:, :, None] * factors <= 20.0) * shares).sum(axis=(1, 2))
    asked = Deadline(20.0)
    assert asked.reported(fleet, ms) == pytest.approx(within)
    assert np.abs(asked.of(fleet, ms) - (1.0 - within)).max() <= Deadline.TIE


def test_a_deadline_has_a_direction_where_the_share_does_not_change() -> None:
    fleet = FleetWeights(np.ones(1), np.ones((1, 1)), np.ones((1, 1)))
    for ms in (1.0, 15.0, 25.0, 300.0):
        slow, fast = Deadline(20.0).of(fleet, np.array([[ms], [0.99 * ms]]))
        assert fast < slow


@pytest.mark.parametrize("text", TEXTS)
def test_every_objective_grows_with_every_clusters_latency_and_is_positive(text: str) -> None:
    fleet, _, _ = _fleet(5)
    asked = parse_objective(text)
    ms = np.random.default_rng(0).uniform(5.0, 50.0, (50, 3))
    before = asked.of(fleet, ms)
    assert (before > 0.0).all()
    for cluster in range(3):
        grown = ms * np.where(np.arange(3) == cluster, 1.1, 1.0)
        assert (asked.of(fleet, grown) >= before - 1e-12).all()


@pytest.mark.parametrize("text", [t for t in TEXTS if t != "worst"])
def test_the_weight_of_devices_acts_in_every_objective(text: str) -> None:
    factors = np.array([[0.5, 1.0, 3.0]])
    ms = np.array([[15.0]])

    def value(shares: list[float]) -> float:
        own = np.array([shares])
        fleet = FleetWeights((factors * own).sum(axis=1), factors, own)
        return float(parse_objective(text).of(fleet, ms)[0])

    assert value([0.02, 0.03, 0.95]) > value([0.95, 0.03, 0.02])


def test_worst_leaves_out_clusters_without_weight() -> None:
    fleet = FleetWeights(np.array([1.0, 0.0]), np.ones((2, 1)), np.array([[1.0], [0.0]]))
    assert parse_objective("worst").of(fleet, np.array([[10.0, 90.0]])) == pytest.approx([10.0])


@pytest.mark.parametrize(
    "text",
    [
        *("", "median", "mean:3", "cvar", "cvar:1", "cvar:0", "cvar:nan", "cvar:-0.5", "cvar:90"),
        *("deadline", "deadline:", "deadline:0ms", "deadline:-3ms", "deadline:inf", "deadline:3h"),
    ],
)
def test_anything_else_is_refused_in_one_line_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"cvar:0\.9|deadline:30ms") as raised:
        parse_objective(text)
    assert "\n" not in str(raised.value)


@settings(deadline=None)
@given(st.floats(1e-3, 1e6), st.sampled_from([("ms", 1.0), ("s", 1e3), ("us", 1e-3), ("", 1.0)]))
def test_times_are_read_in_every_unit(value: float, unit: tuple[str, float]) -> None:
    found = parse_ms(f" {value!r} {unit[0]} ", "a time", "20ms")
    assert found == pytest.approx(value * unit[1])


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_goals_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        goals = parse_goals(text)
        assert 1 <= len(goals.latencies) <= len(goals.names) <= 3


@pytest.mark.parametrize("text", ["kept", "flops,kept", "mean,mean", "mean,p95,worst,kept", ","])
def test_goals_that_do_not_go_together_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="objective"):
        parse_goals(text)


def test_goals_keep_their_order_and_their_latencies() -> None:
    goals = parse_goals("flops, p95,kept")
    assert goals.names == ("flops", "p95", "kept")
    assert [type(o).__name__ for o in goals.latencies] == ["P95"]
    assert goals.several


def test_a_blend_lies_between_its_objectives(make_problem: Make) -> None:
    problem = replace(make_problem(), goals=parse_goals("mean,worst"))
    counts = problem.uniform[None]
    ends = [replace(problem, blend=b).ucb_ms(counts)[0] for b in ((1.0, 0.0), (0.0, 1.0))]
    middle = replace(problem, blend=(0.5, 0.5)).ucb_ms(counts)[0]
    assert middle == pytest.approx(np.sqrt(ends[0] * ends[1]))


def test_titles_say_the_unit_that_is_reported() -> None:
    found: list[Objective] = [parse_objective(text) for text in TEXTS]
    assert [o.unit for o in found] == ["ms"] * 5 + ["share"]
    assert found[3].title == "mean of slowest 10 %"
    assert found[5].title == "within 20 ms"
