"""Several networks for one deadline: what they keep, and whether the deadline is kept.

    python -m benchmarks.fleet.sizes [--seeds 5] [--parts 123] [--fleets phones]
        [--devices 1000 1000000]

1. The bundled measured fleet (24 devices, ResNet-50), all of it predicted: the kept importance of
   the average device with one network, two, ... beside one for each device (at most), one for each
   cluster, HDAP's (one network, the clusters' unweighted mean within the deadline) and what one
   device on the desk would have told. Medians over deadlines.
2. The same fleet, measured: surrogates learn from 50 rows a cluster; the held-out configurations
   are the networks that can be chosen. Which share of the rows of devices that were assigned a
   network is within the deadline? A single row, with its own noise.
3. Simulated fleets of 10^3 to 10^6 devices: surrogates learn from 50 simulated rows a cluster,
   each device's factor is known from 5 dense rows; the share in time is by the simulated truth.
   And how long planning takes.
"""

import argparse
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from benchmarks.fleet.measured_fleets import FLEETS, read_rows
from benchmarks.fleet.surrogates import fleet_data
from benchmarks.search.winners_curse import World, learned, planned
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import ClusteringRecord, Floats, Ints
from hdap.search.driver.run_search import run_search
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.defaults import DEFAULT_PROXY
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.sizes.assignment import assign
from hdap.search.sizes.choose_networks import choose_networks
from hdap.search.sizes.desk import desk_networks
from hdap.search.sizes.device_speeds import DeviceSpeeds, drawn_to_cluster
from hdap.search.sizes.plan_sizes import plan_sizes
from hdap.search.sizes.sizes_problem import LEAST_SHARE, SizesProblem
from hdap.simulation.presets import PRESETS
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.workload import true_latency
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData
from hdap.surrogate.validation.cross_validation import calibration, cross_validate

MODEL = "resnet50"
SHARES_OF_DENSE = (0.2, 0.28, 0.4, 0.56)
"""Deadlines, as shares of the fleet's mean dense latency: 15 to 40 ms on the bundled fleet."""
HELD_OUT_SHARES = (0.6, 0.8, 1.0)
"""Deadlines that some measured configuration keeps on the slowest devices too."""
DEVICES = (1_000, 10_000, 100_000, 1_000_000)
MANY = 100_000
"""From so many devices on one seed is run: chance hardly counts there."""
ROWS, HELD = 50, 0.25
DENSE_ROWS, ROW_NOISE = 5, 0.02
TRUE_CHUNK = 20_000


@dataclass(frozen=True)
class Fleet:
    """Devices and the latency functions that were learned of their clusters."""

    latency: FleetSurrogate
    weights: FleetWeights
    devices: DeviceSpeeds

    def asked(self, deadline_ms: float, share: float = 0.95) -> SizesProblem:
        """The networks of the grid that the measurements show to pay, for a deadline."""
        networks = problem(self.latency, self.weights)
        return SizesProblem(networks, self.devices, deadline_ms, share)

    @property
    def dense_ms(self) -> float:
        """The fleet's mean, predicted."""
        widths = self.latency.architecture.widths[None]
        return float(self.weights.fleet_mean(self.latency.predict(widths).ms)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--parts", default="123")
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES)
    parser.add_argument("--fleets", nargs="+", choices=tuple(PRESETS), default=tuple(PRESETS))
    options = parser.parse_args()
    if "1" in options.parts:
        bundled()
    if "2" in options.parts:
        held_out(options.seeds)
    if "3" in options.parts:
        for name in options.fleets:
            for devices in options.devices:
                simulated(name, devices, options.seeds if devices < MANY else 1)


def bundled() -> None:
    """Part 1."""
    data, clustering = fleet_data(MODEL), truth_free_clustering()
    fleet = measured_fleet(calibrated(data, 0), clustering)
    print(f"bundled fleet, {len(fleet.devices)} devices, {MODEL}, predicted")
    print(f"{'deadline':>10}  kept by the average device with 1, 2, ... networks (recovered)")
    rows: list[list[float]] = []
    for share in SHARES_OF_DENSE:
        asked = fleet.asked(share * fleet.dense_ms)
        found = plan_sizes(asked, 5)
        recovered = [found.recovered(s) for s in found.sizings]
        rows.append(recovered)
        each = ", ".join(
            f"{s.quality:.3f} ({100 * r:.0f} %)"
            for s, r in zip(found.sizings, recovered, strict=True)
        )
        print(
            f"{asked.deadline_ms:>7.1f} ms  {each}; one a device at most {found.each_its_own:.3f}"
        )
        print(f"{'':>12}{baselines(asked)}", flush=True)
    middle = np.median(np.array([r[:3] for r in rows]), axis=0)
    print(
        f"recovered by 2 and 3 networks, median: {100 * middle[1]:.0f} %, {100 * middle[2]:.0f} %"
    )


def baselines(asked: SizesProblem) -> str:
    """What others would ship, in words."""
    told = [f"{d.title} {d.kept:.3f} ({100 * d.late:.0f} % late)" for d in desk_networks(asked)]
    own = 0.0
    for k in range(asked.clusters):
        mine = asked.devices.cluster == k
        only = replace(asked, devices=asked.devices.take(mine))
        own += float(asked.devices.weight[mine].sum()) * plan_sizes(only, 1).sizings[0].quality
    told.append(f"one a cluster {own:.3f}")
    alike = np.full(asked.clusters, 1.0 / asked.clusters)
    fleet = FleetWeights(alike, np.ones((asked.clusters, 1)), alike[:, None])
    counts = best(replace(asked.networks, fleet=fleet, limit_ms=asked.deadline_ms, risk=0.0))
    seen = asked.networks.latency.predict(counts[None])
    kept = asked.networks.importance.kept(counts[None])
    found = assign(asked.devices, seen, kept, asked.deadline_ms, asked.confidence)
    late = 1.0 - float(asked.devices.weight @ found.probability)
    return "; ".join([*told, f"HDAP's unweighted mean {kept[0]:.3f} ({100 * late:.0f} % late)"])


def held_out(seeds: int) -> None:
    """Part 2."""
    data, clustering = fleet_data(MODEL), truth_free_clustering()
    print(f"\nheld-out measured rows, {ROWS} rows a cluster, {seeds} seeds")
    for share in HELD_OUT_SHARES:
        rows, late = 0, 0
        worst = 1.0
        for seed in range(seeds):
            of, missed = held_out_once(data, clustering, share, seed)
            rows, late = rows + of, late + missed
            worst = min(worst, 1.0 - missed / max(of, 1))
        print(
            f"deadline {share:.2f} of dense: {100 * (1 - late / rows):.1f} % of {rows} rows in "
            f"time, the worst seed {100 * worst:.1f} %",
            flush=True,
        )


def held_out_once(
    data: TrainingData, clustering: ClusteringRecord, share: float, seed: int
) -> tuple[int, int]:
    """Rows of devices with the network that they were assigned, and how many of them are late."""
    rng = np.random.default_rng([seed, 5])
    pruned = rng.permutation(np.unique(data.configuration[~data.dense]))
    held = np.sort(pruned[: round(HELD * len(pruned))])
    unseen = np.isin(data.configuration, held)
    known = data.at(~unseen)
    fleet = measured_fleet(calibrated(known.at(few_rows(known, rng)), seed), clustering)
    deadline = share * fleet.dense_ms
    seen = fleet.latency.predict(data.designs[held])
    kept = importance(data.architecture).kept(data.designs[held])
    rows = choose_networks(fleet.devices, seen, kept, deadline, 3)
    chosen = fleet.latency.predict(data.designs[held[rows]])
    found = assign(fleet.devices, chosen, kept[rows], deadline, 0.95)
    network = {
        str(d): int(held[rows[r]]) for d, r in zip(fleet.devices.ids, found.row, strict=True)
    }
    names = clustering.device_ids.astype(str)
    mine = unseen & np.array(
        [network.get(names[d]) == c for d, c in zip(data.device, data.configuration, strict=True)]
    )
    ms = data.latency_ms[mine] / data.drift[mine]
    return int(mine.sum()), int((ms > deadline).sum())


def simulated(name: str, devices: int, seeds: int) -> None:
    """Part 3 for one preset and size."""
    told = []
    for seed in range(seeds):
        world = World.of(name, seed)
        fleet = simulated_fleet(world, devices, seed)
        drawn, known = fleet
        asked = known.asked(SHARES_OF_DENSE[1] * known.dense_ms)
        began = time.process_time()
        found = plan_sizes(asked, 3)
        took = time.process_time() - began
        late = truly_late(world, drawn, found.counts, found.assignment.row, asked.deadline_ms)
        one = found.sizings[0]
        told.append(
            (1.0 - late, took, one.quality, found.chosen.quality, found.recovered(found.chosen))
        )
    table = np.array(told)
    middle = np.median(table, axis=0)
    print(
        f"{name} (simulated), {devices:>9,} devices: {100 * middle[0]:.1f} % in time (worst of "
        f"{seeds}: {100 * table[:, 0].min():.1f} %), one network {middle[2]:.3f}, three "
        f"{middle[3]:.3f}, {100 * middle[4]:.0f} % recovered, planned in {middle[1]:.1f} s of a "
        f"core",
        flush=True,
    )


def simulated_fleet(world: World, devices: int, seed: int) -> tuple[SimulatedFleet, Fleet]:
    """A fleet of the same kinds; its kinds are its clusters, its factors known from dense rows."""
    rng = np.random.default_rng([seed, 6])
    data = world.measured(planned(world, ROWS, seed), rng)
    latency = learned("fleet", data, seed)
    drawn = draw_fleet(replace(world.fleet.spec, devices=devices))
    dense = truth(world, drawn, world.architecture.widths[None])[0]
    typical = np.array([np.median(dense[drawn.kind == k]) for k in range(len(drawn.spec.kinds))])
    error = np.full(devices, ROW_NOISE / np.sqrt(DENSE_ROWS))
    log_factor = np.log(dense / typical[drawn.kind]) + error * rng.normal(size=devices)
    spread = np.array([np.std(log_factor[drawn.kind == k]) for k in range(len(typical))])
    mean, sd = drawn_to_cluster(log_factor, error, spread[drawn.kind])
    weight = drawn.weight / drawn.weight.sum()
    shares = np.bincount(drawn.kind, weight, len(typical)).astype(np.float64)
    weights = FleetWeights(shares, np.ones((len(shares), 1)), shares[:, None])
    return drawn, Fleet(latency, weights, DeviceSpeeds(drawn.ids, drawn.kind, weight, mean, sd))


def truly_late(
    world: World, drawn: SimulatedFleet, counts: Counts, row: Ints, deadline_ms: float
) -> float:
    """The weight of devices that take longer with their network, by the simulated law."""
    late = 0.0
    for first in range(0, len(drawn), TRUE_CHUNK):
        few = np.arange(first, min(first + TRUE_CHUNK, len(drawn)))
        ms = truth(world, drawn.at(few), counts)
        late += float(drawn.weight[few][ms[row[few], np.arange(len(few))] > deadline_ms].sum())
    return late / float(drawn.weight.sum())


def truth(world: World, drawn: SimulatedFleet, counts: Counts) -> Floats:
    """`n x D` ms."""
    return np.hstack(
        [
            true_latency(
                drawn.at(np.arange(a, min(a + TRUE_CHUNK, len(drawn)))), world.architecture, counts
            )
            for a in range(0, len(drawn), TRUE_CHUNK)
        ]
    )


def measured_fleet(latency: FleetSurrogate, clustering: ClusteringRecord) -> Fleet:
    """The bundled fleet, seen by surrogates."""
    measurements = read_rows(FLEETS[MODEL])
    return Fleet(
        latency,
        FleetWeights.of(clustering, measurements.devices),
        DeviceSpeeds.of(clustering, measurements.devices),
    )


def truth_free_clustering() -> ClusteringRecord:
    """The clusters that hdap finds."""
    measurements = read_rows(FLEETS[MODEL])
    return cluster(measurements, created_at=datetime.now(UTC), measurement_mark=0, resamples=0)


def calibrated(data: TrainingData, seed: int) -> FleetSurrogate:
    """As `hdap fit` does it."""
    kind = SURROGATES["fleet"]
    held = cross_validate(kind, data, seed=seed)
    return kind.fit(data, seed).calibrated(calibration(held, data.clusters))


def few_rows(data: TrainingData, rng: np.random.Generator) -> Ints:
    """Dense rows, and ROWS pruned ones of each cluster."""
    chosen = [np.flatnonzero(data.dense)]
    for k in range(data.clusters):
        mine = np.flatnonzero(~data.dense & (data.cluster == k))
        chosen.append(rng.permutation(mine)[:ROWS])
    return np.sort(np.concatenate(chosen))


def problem(latency: FleetSurrogate, weights: FleetWeights) -> SearchProblem:
    """Every network of the grid, up to the dense one."""
    architecture = latency.architecture
    space = SearchSpace.build(architecture, latency.step, min_share=LEAST_SHARE)
    ends = flops(architecture, np.stack([space.smallest, space.widest]))
    band = FlopsBand(int(ends[0]), int(ends[1]))
    return SearchProblem.build(space, band, latency, weights, importance(architecture), floor=0.0)


def importance(architecture: Architecture) -> Importance:
    """What a search takes where no weights are given."""
    default = PROXIES[DEFAULT_PROXY]
    return Importance.by_channels(architecture).with_proxy(default, architecture)


def best(posed: SearchProblem) -> Counts:
    """What a search for the most importance within a latency finds."""
    found = run_search(posed, trials=600).trials
    assert found is not None
    row: Counts = found.counts[np.where(found.feasible, found.kept_importance, -1.0).argmax()]
    return row


if __name__ == "__main__":
    main()
