from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.search.driver.run_search import run_search
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES, Proxy, proxy
from hdap.search.problem.search_problem import SearchProblem

Read = Callable[[str], Architecture]
Shares = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9)


@pytest.fixture(params=PROXIES, scope="module")
def kind(request: pytest.FixtureRequest) -> Proxy:
    return PROXIES[request.param]


class TestContract:
    @given(shares=Shares)
    def test_terms_are_finite_and_never_fall_with_a_share(
        self, kind: Proxy, shares: list[float]
    ) -> None:
        terms = kind.terms(np.sort(shares))
        assert np.isfinite(terms).all()
        assert (np.diff(terms) >= 0.0).all()
        assert terms[-1] <= 0.0

    def test_each_share_counts_by_itself(self, kind: Proxy) -> None:
        shares = np.array([[0.2, 1.0], [0.7, 0.4]])
        each = [[kind.terms(np.array([s]))[0] for s in row] for row in shares]
        assert kind.terms(shares) == pytest.approx(np.array(each))

    @pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
    def test_weights_are_of_mean_one(self, kind: Proxy, model: str, architecture: Read) -> None:
        described = architecture(model)
        weights = kind.weights(described)
        assert weights.shape == described.widths.shape
        assert weights.min() > 0.0
        assert weights.mean() == pytest.approx(1.0)

    def test_kept_importance_is_one_for_the_dense_network_and_less_for_a_thinner_one(
        self, kind: Proxy, architecture: Read
    ) -> None:
        model = architecture("resnet50")
        importance = Importance.by_channels(model).with_proxy(kind, model)
        kept = importance.kept(np.stack([model.widths, model.widths // 2, model.widths // 4]))
        assert kept[0] == pytest.approx(1.0)
        assert 1.0 > kept[1] > kept[2] > 0.0

    def test_a_search_finds_a_faster_network_that_keeps_the_floor(
        self, kind: Proxy, make_problem: Callable[..., SearchProblem]
    ) -> None:
        plain = make_problem()
        importance = Importance.by_channels(plain.architecture)
        problem = SearchProblem.build(
            plain.space,
            plain.band,
            plain.latency,
            plain.fleet,
            importance.with_proxy(kind, plain.architecture),
        )
        trials = run_search(problem, trials=60).trials
        assert trials is not None
        best = trials.counts[trials.feasible][trials.ucb_ms[trials.feasible].argmin()]
        rows = problem.evaluate(np.stack([problem.uniform, best]))
        assert rows.kept_importance[1] >= problem.floor * (1.0 - 1e-6)
        assert rows.ucb_ms[1] < rows.ucb_ms[0]


def test_half_of_every_group_counts_as_a_half_by_geometric_means(architecture: Read) -> None:
    model = architecture("resnet50")
    for name in ("log-mean", "layers"):
        importance = Importance.by_channels(model).with_proxy(PROXIES[name], model)
        assert importance.kept(model.widths[None] // 2) == pytest.approx(0.5)


def test_narrow_places_cost_most_by_the_harmonic_and_least_by_the_arithmetic_mean() -> None:
    uneven, even = np.array([0.1, 0.9]), np.array([0.5, 0.5])
    lost = [PROXIES[n].terms(even).sum() - PROXIES[n].terms(uneven).sum() for n in PROXIES]
    by_name = dict(zip(PROXIES, lost, strict=True))
    assert by_name["harmonic"] > by_name["log-mean"] > by_name["mean"] == pytest.approx(0.0)


def test_a_residual_trunk_counts_more_than_an_inner_width_by_layers(architecture: Read) -> None:
    model = architecture("resnet50")
    weights = dict(
        zip((g.name for g in model.groups), PROXIES["layers"].weights(model), strict=True)
    )
    assert weights["layer3.0.conv3"] > 3 * weights["layer3.1.conv2"]


def test_an_unknown_proxy_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"log-mean, layers, harmonic, mean.*'best'"):
        proxy("best")
