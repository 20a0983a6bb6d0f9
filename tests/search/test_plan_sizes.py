"""Several networks for one deadline, on surrogates of the measured MobileNetV1 fleet."""

from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import ladder
from hdap.search.sizes.desk import desk_networks
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.search.sizes.kept_within import KeptWithin
from hdap.search.sizes.plan_sizes import Sizes, line_up, plan_sizes
from hdap.search.sizes.sizes_problem import LEAST_SHARE, SizesProblem
from hdap.surrogate.models.base import Prediction


@pytest.fixture(scope="module")
def networks(fitted_problem: SearchProblem) -> SearchProblem:
    described = fitted_problem.architecture
    space = SearchSpace.build(described, 16, min_share=LEAST_SHARE)
    ends = flops(described, np.stack([space.smallest, space.widest]))
    return replace(
        fitted_problem, space=space, band=FlopsBand(int(ends[0]), int(ends[1])), floor=0.0
    )


def fleet(networks: SearchProblem, n: int, seed: int = 0, spread: float = 0.05) -> DeviceSpeeds:
    rng = np.random.default_rng(seed)
    clusters = len(networks.fleet.mean)
    return DeviceSpeeds(
        np.array([f"unit-{i}" for i in range(n)], dtype=object),
        rng.integers(0, clusters, n),
        np.full(n, 1.0 / n),
        spread * rng.normal(size=n),
        np.full(n, 0.01),
    )


@pytest.fixture(scope="module")
def asked(networks: SearchProblem) -> SizesProblem:
    devices = fleet(networks, 40)
    uniform = networks.latency.predict(networks.architecture.widths[None] // 2)
    middle = float(np.median(uniform.ms))
    return SizesProblem(networks, devices, middle, trials=80)


@pytest.fixture(scope="module")
def planned(asked: SizesProblem) -> Sizes:
    return plan_sizes(asked, 4)


def test_more_networks_keep_more_and_never_more_than_is_possible(planned: Sizes) -> None:
    quality = [s.quality for s in planned.sizings]
    assert quality == sorted(quality)
    assert len(planned.sizings) > 2
    assert planned.bound
    for sizing in planned.sizings:
        assert sizing.quality <= sizing.at_most + 1e-9 <= planned.each_its_own + 2e-9
    # what a search leaves of the bound is little
    assert all(s.at_most - s.quality < 0.02 for s in planned.sizings)
    assert planned.recovered(planned.sizings[0]) == 0.0
    assert planned.recovered(planned.sizings[2]) > 0.7


def test_the_share_that_was_asked_is_in_time(asked: SizesProblem, planned: Sizes) -> None:
    for sizing, found in zip(planned.sizings, planned.assignments, strict=True):
        assert sizing.in_time >= asked.share - 1e-9
        seen = asked.networks.latency.predict(planned.counts)
        sure = np.log(seen.ms[found.row, asked.devices.cluster]) + asked.devices.log_factor
        sd = np.hypot(seen.log_sd[found.row, asked.devices.cluster], asked.devices.log_sd)
        late = sure + asked.certain * sd > np.log(asked.deadline_ms) + 1e-9
        assert asked.devices.weight[late].sum() <= 1.0 - asked.share + 1e-9


def test_all_can_be_asked_to_be_in_time(asked: SizesProblem) -> None:
    every = plan_sizes(replace(asked, share=1.0), 2)
    assert every.sizings[0].in_time == pytest.approx(1.0)
    assert every.sizings[0].quality <= plan_sizes(asked, 1).sizings[0].quality


def test_a_price_ends_the_comparison(asked: SizesProblem, planned: Sizes) -> None:
    dear = plan_sizes(asked, None, cost=1.0)
    assert dear.advised == 1
    assert "less than its price" in dear.words
    gain = planned.sizings[1].quality - planned.sizings[0].quality
    cheap = plan_sizes(asked, None, cost=0.5 * gain)
    assert cheap.advised >= 2


def test_no_network_keeps_more_than_is_in_reach(networks: SearchProblem) -> None:
    reach = KeptWithin.of(networks, 1.0)
    rows = np.vstack([ladder(networks.space), networks.space.random(200, np.random.default_rng(0))])
    found = networks.latency.predict(rows)
    kept = networks.importance.log_kept(rows)
    for cluster in range(len(networks.fleet.mean)):
        ms = np.exp(found.log_ms[:, cluster] + found.log_sd[:, cluster])
        most = reach.log_kept(np.full(len(rows), cluster), ms)
        assert (kept <= most + 1e-6).all()


def test_surrogates_without_structure_are_estimated(asked: SizesProblem) -> None:
    class Plain:
        def predict(self, counts: np.ndarray) -> Prediction:
            return asked.networks.latency.predict(counts)

    plain = replace(asked, networks=replace(asked.networks, latency=Plain()))
    line = line_up(plain)
    assert not line.bound
    assert np.abs(line.at_most - line_up(asked).at_most).max() < 0.1
    found = plan_sizes(plain, 2)
    assert found.sizings[1].quality > found.sizings[0].quality


def test_a_deadline_that_too_few_can_keep_is_refused(asked: SizesProblem) -> None:
    with pytest.raises(InfeasibleError, match="raise --latency"):
        plan_sizes(replace(asked, deadline_ms=asked.deadline_ms / 100.0), 2)
    with pytest.raises(InputError, match="share"):
        replace(asked, share=0.0)
    with pytest.raises(InputError, match="confidence"):
        replace(asked, confidence=0.2)


def test_a_floor_holds_for_each_network(asked: SizesProblem, planned: Sizes) -> None:
    floor = planned.sizings[0].quality - 0.01
    held = plan_sizes(replace(asked, networks=replace(asked.networks, floor=floor)), 3)
    assert (held.kept >= floor - 1e-6).all()


def test_one_device_on_the_desk_is_late_elsewhere_or_gives_up_more(
    asked: SizesProblem, planned: Sizes
) -> None:
    typical, slowest = desk_networks(asked)
    assert typical.kept > slowest.kept
    assert typical.late > 0.1 > slowest.late
    assert slowest.kept <= planned.chosen.quality


def test_many_devices_are_cut_like_few(networks: SearchProblem, asked: SizesProblem) -> None:
    many = replace(asked, devices=fleet(networks, 20_000))
    found = plan_sizes(many, 2)
    assert found.sizings[1].in_time >= many.share - 1e-9
    assert found.sizings[1].at_most - found.sizings[1].quality < 0.02


def test_a_bound_for_many_devices_is_one_for_any_plan(
    networks: SearchProblem, asked: SizesProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = replace(asked, devices=fleet(networks, 1_500, spread=0.2))
    line = line_up(many)
    assert len(line.weight) < len(many.devices)
    monkeypatch.setattr("hdap.search.sizes.plan_sizes.PLACES", len(many.devices))
    every = line_up(many)
    assert every.each_its_own <= line.each_its_own <= every.each_its_own + 0.01
    for number in (1, 2, 3):
        assert every.at_most_with(number) <= line.at_most_with(number) + 1e-9


def test_the_typical_device_is_on_no_desk_where_no_network_is_in_time_on_it(
    asked: SizesProblem,
) -> None:
    dense = asked.networks.latency.predict(asked.networks.architecture.widths[None]).log_ms[0]
    by_speed = np.argsort(dense[asked.devices.cluster] + asked.log_factor)
    log_factor = asked.devices.log_factor.copy()
    log_factor[by_speed[10:]] += 5.0
    few = replace(asked, devices=replace(asked.devices, log_factor=log_factor), share=0.2)
    assert plan_sizes(few, 1).chosen.in_time >= 0.2
    assert [d.title for d in desk_networks(few)] == ["slowest device"]
