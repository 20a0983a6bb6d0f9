"""What the search benchmark searches: measured fleets, simulated ones, and a simulated law itself.

A setting is written `MODEL:SOURCE`. `measured` fits surrogates to the measured fleet; the name of a
preset of `hdap simulate` fits them to simulated measurements, and answers are judged by the
simulated truth; `PRESET-law` lets the search ask that truth itself.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.fleet.measured_fleets import FLEETS, traced
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.ingest.ingest_file import ingest
from hdap.fleet_data.records import Floats, Measurements
from hdap.fleet_data.store import Store
from hdap.search.problem.budget import FlopsBand, band, parse_flops
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import least_share
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry
from hdap.simulation.workload import true_fleet_mean, true_kind_latency
from hdap.surrogate.models.base import Prediction
from hdap.surrogate.validation.fit_surrogates import fit

BUDGETS = {"resnet50": "1.0G", "mobilenetv1_100": "30%"}
MEASURED, LAW = "measured", "-law"
SPENT = 0.03
DEVICES = 240
PLAN = TelemetryPlan(configurations=150, measuring_devices=24, measured_rows=60)
"""About as many measurements as the measured fleets have."""


@dataclass(frozen=True)
class Setting:
    """A problem, and what its answers are worth: `judge` maps `n x groups` to `n` ms."""

    name: str
    problem: SearchProblem
    judge: Callable[[Counts], Floats]
    judged_by: str


@dataclass(frozen=True)
class Truth:
    """A simulated fleet's law: a latency model without error (a cluster a kind), and a judge."""

    architecture: Architecture
    fleet: SimulatedFleet

    def predict(self, counts: Counts) -> Prediction:
        log_ms = np.log(true_kind_latency(self.fleet, self.architecture, counts))
        return Prediction(log_ms, np.zeros_like(log_ms))

    def fleet_mean(self, counts: Counts) -> Floats:
        """True fleet mean, `n x groups` -> `n` ms."""
        return true_fleet_mean(self.fleet, self.architecture, counts)

    def weights(self) -> FleetWeights:
        """Each kind's share of the fleet's weight."""
        share = np.bincount(self.fleet.kind, self.fleet.weight) / self.fleet.weight.sum()
        return FleetWeights(share, np.ones((len(share), 1)), share[:, None])


def setting(name: str, step: int) -> Setting:
    """The setting of that name (`MODEL:SOURCE`) on a grid of `step` channels."""
    model, _, source = name.partition(":")
    architecture = traced(model)
    if source == MEASURED:
        problem = _fitted(architecture, FLEETS[model], step)
        return Setting(name, problem, problem.ucb_ms, "predicted")
    fleet = draw_fleet(preset(source.removesuffix(LAW), DEVICES))
    truth = Truth(architecture, fleet)
    if source.endswith(LAW):
        space, wanted = _space(architecture, step)
        problem = SearchProblem.build(space, wanted, truth, truth.weights())
        return Setting(name, problem, problem.ucb_ms, "true, simulated")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "telemetry.csv"
        with file.open("wb") as out:
            for i, frame in enumerate(simulate_telemetry(fleet, [architecture], PLAN)):
                frame.write_csv(out, include_header=i == 0)
        problem = _fitted(architecture, file, step)
    return Setting(name, problem, truth.fleet_mean, "true, simulated")


def hdap_setting(problem: SearchProblem) -> SearchProblem:
    """The problem as HDAP poses it (arXiv 2501.15240): all clusters alike, inner widths only.

    Groups that several layers with weights of their own write to (the trunks of a residual network)
    and the first one stay whole; there is no doubt on latencies. There is no floor either, because
    what such a space can keep is far below that of uniform pruning: HDAP asks for accuracy instead,
    which no search without a data set can. So its answers are faster than they should be, and the
    budget has to be spent but for 3 %.
    """
    architecture = problem.architecture
    depthwise = {layer.name for layer in architecture.layers if layer.depthwise}
    outer = {
        group.name: group.width
        for place, group in enumerate(architecture.groups)
        if place == 0 or sum(member not in depthwise for member in group.members) > 1
    }
    clusters = len(problem.fleet.mean)
    equal = np.full(clusters, 1.0 / clusters)
    return SearchProblem.build(
        SearchSpace.build(architecture, problem.space.step, fixed=outer),
        band(problem.band.high, SPENT),
        problem.latency,
        FleetWeights(equal, np.ones((clusters, 1)), equal[:, None]),
        floor=0.0,
        risk=0.0,
    )


def _space(architecture: Architecture, step: int) -> tuple[SearchSpace, FlopsBand]:
    dense = int(flops(architecture, architecture.widths[None])[0])
    wanted = band(parse_flops(BUDGETS[architecture.model], dense))
    share = least_share(architecture, wanted)
    return SearchSpace.build(architecture, step, min_share=share), wanted


def _fitted(architecture: Architecture, file: Path, step: int) -> SearchProblem:
    measurements = _ingested(file, architecture.model)
    clustering = cluster(measurements, created_at=datetime.now(UTC), measurement_mark=0)
    surrogate = fit(architecture, measurements, clustering, base_lines=()).surrogate
    weights = FleetWeights.of(clustering, measurements.devices)
    space, wanted = _space(architecture, step)
    return SearchProblem.build(space, wanted, surrogate, weights)


def _ingested(file: Path, model: str) -> Measurements:
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(f"sqlite:///{folder}/fleet.db") as store,
    ):
        ingest(store, file, trace=traced, rejected_path=Path(folder) / "rejected.csv")
        return store.measurements(model)
