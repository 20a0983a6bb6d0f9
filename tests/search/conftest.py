from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Measurements
from hdap.search.problem.budget import band, parse_flops
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.surrogate.validation.fit_surrogates import fit


@pytest.fixture(scope="session")
def random_counts() -> Callable[[SearchSpace, int, int], Counts]:
    def draw(space: SearchSpace, n: int, seed: int) -> Counts:
        return space.random(n, np.random.default_rng(seed))

    return draw


@pytest.fixture(scope="session")
def fitted_problem(
    architecture: Callable[[str], Architecture], measured: Callable[[str], Measurements]
) -> SearchProblem:
    """A problem on surrogates of the measured MobileNetV1 fleet, which other processes can load."""
    described, rows = architecture("mobilenetv1_100"), measured("mobilenetv1_100")
    clustering = cluster(rows, created_at=datetime.now(UTC), measurement_mark=0, resamples=0)
    latency = fit(described, rows, clustering, base_lines=()).surrogate
    dense = int(flops(described, described.widths[None])[0])
    return SearchProblem.build(
        SearchSpace.build(described, step=8),
        band(parse_flops("30%", dense)),
        latency,
        FleetWeights.of(clustering, rows.devices),
    )
