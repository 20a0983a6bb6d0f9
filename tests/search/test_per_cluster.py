from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import layer_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.analysis.answer import shortlist
from hdap.search.analysis.per_cluster import Networks, check_per_cluster, networks
from hdap.search.driver.run_search import run_search
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.search_problem import SearchProblem
from hdap.surrogate.models.base import Prediction

Make = Callable[..., SearchProblem]
SHARES = np.array([0.4, 0.4, 0.2])
FLEET = FleetWeights(SHARES, np.ones((3, 1)), SHARES[:, None])


class TwoKinds:
    """Clusters 0 and 2 take as long as they multiply, cluster 1 reads its weights from flash."""

    def __init__(self, architecture: Architecture) -> None:
        layers = [layer for layer in architecture.layers if layer.kind != "norm"]
        self.architecture = architecture
        self.rows = [i for i, x in enumerate(architecture.layers) if x.kind != "norm"]
        self.kernel = np.array([np.prod(x.kernel) for x in layers], dtype=np.float64)
        self.outputs = np.array([np.prod(x.output_size) for x in layers], dtype=np.float64)
        self.depthwise = np.array([x.depthwise for x in layers])

    def predict(self, counts: Counts) -> Prediction:
        narrow, wide = (x[:, self.rows] for x in layer_channels(self.architecture, counts))
        weights = self.kernel * np.where(self.depthwise, 1, narrow) * wide
        macs, size = (weights * self.outputs).sum(axis=1), weights.sum(axis=1)
        seconds = [macs / 40e9, 4.0 * size / 0.6e9 + macs / 4e11, macs / 30e9]
        log_ms = np.log(1e3 * np.stack(seconds, axis=1))
        return Prediction(log_ms, np.full_like(log_ms, 0.02))


@pytest.fixture(scope="module")
def differing(make_problem: Make) -> SearchProblem:
    problem = make_problem("mobilenetv1_100", "25%")
    return replace(problem, latency=TwoKinds(problem.architecture), fleet=FLEET)


@pytest.fixture(scope="module")
def trials(differing: SearchProblem) -> TrialBatch:
    found = run_search(differing, trials=150).trials
    assert found is not None
    return found


@pytest.fixture(scope="module")
def compared(differing: SearchProblem, trials: TrialBatch) -> Networks:
    best = trials.counts[shortlist(differing, trials)[0]]
    return networks(differing, best, trials.counts[trials.feasible])


def test_two_kinds_that_truly_differ_get_two_networks(
    differing: SearchProblem, compared: Networks
) -> None:
    assert compared.advised == 2
    rows = compared.chosen.rows
    assert rows[0] == rows[2] != rows[1]
    true = differing.latency.predict(compared.counts).ms
    one, two = true[0] @ SHARES, true[rows, np.arange(3)] @ SHARES
    assert two < 0.95 * one
    assert compared.chosen.fleet_mean_ms == pytest.approx(two)
    assert "2 networks" in compared.words


def test_a_cluster_pays_for_the_network_that_it_shares(compared: Networks) -> None:
    assert compared.costs[1] > 0.03
    assert (compared.costs > -1e-9).all()


def test_more_networks_never_serve_worse_beyond_doubt(compared: Networks) -> None:
    means = [split.fleet_mean_ms for split in compared.splits]
    assert [split.networks for split in compared.splits][:2] == [1, 2]
    assert means == sorted(means, reverse=True)
    for before, after in zip(compared.splits, compared.splits[1:], strict=False):
        assert after.gain == pytest.approx(1.0 - after.fleet_mean_ms / before.fleet_mean_ms)
        assert after.doubt > 0.0


def test_every_network_keeps_the_band_and_the_floor(
    differing: SearchProblem, compared: Networks
) -> None:
    assert compared.seen.feasible.all()
    assert differing.band.contains(differing.repair.flops(compared.counts)).all()


def test_a_higher_threshold_keeps_one_network(differing: SearchProblem, trials: TrialBatch) -> None:
    best = trials.counts[shortlist(differing, trials)[0]]
    told = networks(differing, best, trials.counts, threshold=0.8)
    assert told.advised == 1
    assert "80.0 %" in told.words


def test_kinds_that_rank_alike_get_one_network(
    differing: SearchProblem, trials: TrialBatch
) -> None:
    class Alike:
        def predict(self, counts: Counts) -> Prediction:
            one = differing.latency.predict(counts)
            return Prediction(one.log_ms[:, :1] + np.array([0.0, 0.5, 1.0]), one.log_sd)

    alike = replace(differing, latency=Alike())
    best = trials.counts[alike.scores(trials.counts).order[0]]
    told = networks(alike, best, trials.counts[trials.feasible])
    assert told.advised == 1
    assert told.words.startswith("one network")


def test_one_cluster_needs_no_comparison(differing: SearchProblem) -> None:
    shares = np.array([0.0, 1.0, 0.0])
    alone = replace(differing, fleet=FleetWeights(shares, np.ones((3, 1)), shares[:, None]))
    told = networks(alone, alone.uniform, alone.uniform[None])
    assert [split.networks for split in told.splits] == [1]
    assert "one cluster" in told.words


def test_the_same_seed_compares_the_same_networks(
    differing: SearchProblem, trials: TrialBatch, compared: Networks
) -> None:
    best = trials.counts[shortlist(differing, trials)[0]]
    again = networks(differing, best, trials.counts[trials.feasible])
    assert np.array_equal(again.counts, compared.counts)


def test_only_fleet_means_at_one_budget_can_be_compared(make_problem: Make) -> None:
    check_per_cluster(True, make_problem())
    check_per_cluster(False, make_problem(objective="p95"))
    for problem in (make_problem(objective="p95"), replace(make_problem(), limit_ms=20.0)):
        with pytest.raises(InputError, match="--objective mean"):
            check_per_cluster(True, problem)
