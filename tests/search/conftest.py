from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pytest

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, layer_channels
from hdap.fleet_data.records import Floats, Measurements
from hdap.search.problem.budget import band, parse_flops
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.surrogate.models.base import Prediction
from hdap.surrogate.validation.fit_surrogates import fit

COMPUTE = np.array([60e9, 40e9, 25e9, 15e9])
BANDWIDTH = np.array([12e9, 5e9, 8e9, 2e9])
SHARES = np.array([0.4, 0.3, 0.2, 0.1])


class SimulatedFleet:
    """Four kinds of devices: a roofline whose output channels are rounded up to `lanes`."""

    def __init__(self, architecture: Architecture, lanes: int = 16, log_sd: float = 0.03) -> None:
        layers = [layer for layer in architecture.layers if layer.kind != "norm"]
        self.architecture, self.lanes, self.log_sd = architecture, lanes, log_sd
        self.rows = [i for i, x in enumerate(architecture.layers) if x.kind != "norm"]
        self.kernel = np.array([np.prod(x.kernel) for x in layers], dtype=np.float64)
        self.inputs = np.array([np.prod(x.input_size) for x in layers], dtype=np.float64)
        self.outputs = np.array([np.prod(x.output_size) for x in layers], dtype=np.float64)
        self.depthwise = np.array([x.depthwise for x in layers])
        self.asked = 0

    def predict(self, counts: Counts) -> Prediction:
        self.asked += len(counts)
        narrow, wide = (x[:, self.rows] for x in layer_channels(self.architecture, counts))
        each = np.where(self.depthwise, 1, narrow)
        macs = self.kernel * self.outputs * each * np.ceil(wide / self.lanes) * self.lanes
        size = self.inputs * narrow + self.outputs * wide + self.kernel * each * wide
        seconds = [
            np.maximum(macs / c, 4.0 * size / b).sum(axis=1)
            for c, b in zip(COMPUTE, BANDWIDTH, strict=True)
        ]
        log_ms = np.log(1e3 * np.stack(seconds, axis=1))
        return Prediction(log_ms, np.full_like(log_ms, self.log_sd))


class MakeProblem(Protocol):
    def __call__(
        self,
        model: str = "resnet50",
        budget: str = "25%",
        tolerance: float = 0.03,
        step: int = 8,
        fixed: Mapping[str, int] | None = None,
        floor: float | None = None,
        objective: str = "mean",
        risk: float = 1.0,
        lanes: int = 16,
    ) -> SearchProblem: ...


@pytest.fixture(scope="session")
def make_problem(architecture: Callable[[str], Architecture]) -> MakeProblem:
    def make(
        model: str = "resnet50",
        budget: str = "25%",
        tolerance: float = 0.03,
        step: int = 8,
        fixed: Mapping[str, int] | None = None,
        floor: float | None = None,
        objective: str = "mean",
        risk: float = 1.0,
        lanes: int = 16,
    ) -> SearchProblem:
        described = architecture(model)
        dense = int(flops(described, described.widths[None])[0])
        return SearchProblem.build(
            SearchSpace.build(described, step=step, fixed=fixed),
            band(parse_flops(budget, dense), tolerance),
            SimulatedFleet(described, lanes),
            FleetWeights(SHARES, np.ones((4, 1)), SHARES[:, None]),
            # What samplers reach is compared at this proxy, whatever the default floor is.
            Importance.by_channels(described).with_proxy(PROXIES["log-mean"], described),
            floor=floor,
            goals=parse_goals(objective),
            risk=risk,
        )

    return make


@pytest.fixture(scope="session")
def random_counts() -> Callable[[SearchSpace, int, int], Counts]:
    def draw(space: SearchSpace, n: int, seed: int) -> Counts:
        return space.random(n, np.random.default_rng(seed))

    return draw


@pytest.fixture(scope="session")
def shares() -> Floats:
    return SHARES


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
