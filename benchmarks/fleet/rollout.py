"""A fleet in the middle of a roll-out: what may teach what, and what sizes by state bring.

    python -m benchmarks.fleet.rollout [--fleet rollout|int8|int8-mobilenetv2]
        [--seeds 6] [--rows 50] [--parts 12]

A bundled fleet, measured: 21 devices of one label in four states (ONNX Runtime, OpenVINO in float32
and bfloat16, ncnn), or 24 in six (ONNX Runtime, also throttled, ncnn, OpenVINO in float32 and int8,
LiteRT in int8).

1. Held-out error of each runtime and precision where at most so many rows of each are learned from;
   a quarter of the configurations is held out from all states. Every column in the same run on the
   same rows: the cost model of the state alone, one cost model of all states without a correction
   (each state its dense latency only), one with a correction of its own for each state, roofline,
   boosted trees, boosted trees on the residual of the cost model, and what is chosen by held-out
   error among the rows that are learned from. `noise` is the error of a perfect model.
2. One deadline for all, predicted: the kept importance of the average device with one network for
   the whole fleet, with one for each state, and with k networks that states may share.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from xgboost import XGBRegressor

from benchmarks.fleet.measured_fleets import SEVERAL, read_fleet, traced, with_software
from benchmarks.fleet.sizes import Fleet
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, Devices, Floats, Measurements
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.search.sizes.plan_sizes import plan_sizes
from hdap.search.sizes.sizes_problem import SizesProblem
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import Cells, TrainingData, training_data
from hdap.surrogate.validation.choose_by_state import choose_by_state, fit_chosen
from hdap.surrogate.validation.cross_validation import cross_validate, noise_floor
from hdap.surrogate.validation.fit_surrogates import fit
from hdap.surrogate.validation.learning_curve import split_rows

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SHARES_OF_DENSE = (0.2, 0.3, 0.4)
"""Deadlines, as shares of the fleet's mean dense latency."""
Predict = Callable[[TrainingData, Cells, int], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fleet", choices=SEVERAL, default=SEVERAL[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--parts", default="12")
    options = parser.parse_args()
    measurements, clustering, architecture = clustered(options.fleet)
    if "1" in options.parts:
        data = training_data(architecture, measurements, clustering)
        held_out(data, options.rows, options.seeds)
    if "2" in options.parts:
        sizes(measurements, clustering, architecture)


def clustered(fleet: str) -> tuple[Measurements, ClusteringRecord, Architecture]:
    """A fleet with what its devices run, clustered."""
    rows, kinds = read_fleet(fleet)
    told = with_software(rows, kinds)
    record = cluster(told, created_at=NOW, measurement_mark=0, resamples=0)
    return told, record, traced(told.models[0])


def held_out(data: TrainingData, rows: int, seeds: int) -> None:
    """Part 1."""
    ways: dict[str, Predict] = {
        "alone": alone("fleet"),
        "pooled, plain": pooled_plain,
        "pooled, corrected": pooled_corrected,
        "roofline": alone("roofline"),
        "xgboost": alone("xgboost-ratios"),
        "trees on residual": residual_trees,
        "chosen": chosen,
    }
    errors: dict[str, list[Floats]] = {name: [] for name in ways}
    for seed in range(seeds):
        known, unseen = split_rows(data, rows, seed)
        cells = unseen.cells
        for name, way in ways.items():
            off = np.abs(np.expm1(way(known, cells, seed) - cells.log_ms))
            errors[name].append(
                np.array([off[cells.cluster == k].mean() for k in range(data.clusters)])
            )
    pruned = data.at(~data.dense)
    noise = noise_floor(pruned, pruned.cells)
    print(f"held-out error, at most {rows} rows a state, {seeds} seeds (mean +- standard error)")
    print(f"{'':<22}{'noise':>7}" + "".join(f"{name:>20}" for name in ways))
    for k, state in enumerate(data.states):
        cellsof = [np.array(errors[name])[:, k] for name in ways]
        print(
            f"{state:<22}{100 * noise[k]:>5.1f} %"
            + "".join(f"{100 * e.mean():>11.1f} +- {error_of(e):.1f} %" for e in cellsof)
        )
    every = [np.array(errors[name]).mean(axis=1) for name in ways]
    print(
        f"{'mean of the states':<29}"
        + "".join(f"{100 * e.mean():>11.1f} +- {error_of(e):.1f} %" for e in every)
    )
    told = [
        f"{name} {e.mean() / every[-1].mean():.2f}x" for name, e in zip(ways, every, strict=True)
    ]
    print("error over that of what is chosen: " + ", ".join(told[:-1]))


def error_of(values: Floats) -> float:
    """Standard error of a mean, in percent."""
    return float(100 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def alone(kind: str) -> Predict:
    """Each state from its own rows."""

    def predict(known: TrainingData, cells: Cells, seed: int) -> Floats:
        found = np.empty(len(cells))
        for k in range(known.clusters):
            mine = cells.cluster == k
            own = SURROGATES[kind].fit(known.of_clusters((k,)), seed)
            found[mine] = own.predict(cells.counts[mine]).log_ms[:, 0]
        return found

    return predict


def residual_trees(known: TrainingData, cells: Cells, seed: int) -> Floats:
    """Each state from its own rows, and XGBoost on what its cost model misses of configurations
    that it did not see: would find staircases that the cost model does not know."""
    found = alone("fleet")(known, cells, seed)
    widths = known.architecture.widths
    for k in range(known.clusters):
        mine = cells.cluster == k
        held = cross_validate(FleetModel, known.of_clusters((k,)), seed=seed)
        trees = XGBRegressor(
            n_estimators=50, max_depth=2, learning_rate=0.1, subsample=0.7, random_state=seed
        )
        trees.fit(held.cells.counts / widths, -held.error)
        found[mine] += trees.predict(cells.counts[mine] / widths)
    return found


def pooled_plain(known: TrainingData, cells: Cells, seed: int) -> Floats:
    """One latency function of all states; each state its dense latency and nothing else."""
    level = np.array(
        [np.median(known.log_ms[(known.cluster == k) & known.dense]) for k in range(known.clusters)]
    )
    one = replace(
        known,
        cluster=np.zeros(len(known), dtype=np.int64),
        device_factor=known.device_factor * np.exp(level[known.cluster]),
        shares=np.ones(1),
        relative_latency=np.ones(1),
        states=("",),
    )
    found = FleetModel.fit(one, seed).predict(cells.counts).log_ms[:, 0] + level[cells.cluster]
    return np.asarray(found)


def pooled_corrected(known: TrainingData, cells: Cells, seed: int) -> Floats:
    """One cost model of all states with a correction of its own for each."""
    found = FleetModel.fit(known, seed).predict(cells.counts).log_ms
    return np.asarray(found[np.arange(len(cells)), cells.cluster])


def chosen(known: TrainingData, cells: Cells, seed: int) -> Floats:
    """What `hdap fit` would take: it sees `known` alone."""
    try:
        choice = choose_by_state(known, seed)
    except NotEnoughDataError:
        return pooled_corrected(known, cells, seed)
    found = fit_chosen(known, choice, seed).predict(cells.counts).log_ms
    return np.asarray(found[np.arange(len(cells)), cells.cluster])


def sizes(
    measurements: Measurements, clustering: ClusteringRecord, architecture: Architecture
) -> None:
    """Part 2."""
    latency = fit(architecture, measurements, clustering, base_lines=()).surrogate
    devices = Devices(clustering.device_ids, np.ones(len(clustering.device_ids)))
    fleet = Fleet(
        latency,
        FleetWeights.of(clustering, devices),
        DeviceSpeeds.of(clustering, devices),
    )
    print(f"\none deadline, {len(fleet.devices)} devices, predicted: kept by the average device")
    print("  deadline  one for all  one a state  2 networks  3 networks  one a device  3 recover")
    gains = []
    for share in SHARES_OF_DENSE:
        asked = fleet.asked(share * fleet.dense_ms)
        found = plan_sizes(asked, 4)
        kept = {s.networks: s.quality for s in found.sizings}
        recovered = found.recovered(next(s for s in found.sizings if s.networks == 3))
        own = by_state(asked)
        gains.append(kept[3] / kept[1])
        print(
            f"{asked.deadline_ms:>7.1f} ms{kept[1]:>13.3f}{own:>13.3f}{kept[2]:>12.3f}"
            f"{kept[3]:>12.3f}{found.each_its_own:>14.3f}{100 * recovered:>9.0f} %",
            flush=True,
        )
    print(f"three networks keep {np.median(gains):.2f}x of what one keeps (median)")


def by_state(asked: SizesProblem) -> float:
    """Kept by the average device with a network for each state."""
    total = 0.0
    for k in range(asked.clusters):
        mine = asked.devices.cluster == k
        only = replace(asked, devices=asked.devices.take(mine))
        total += float(asked.devices.weight[mine].sum()) * plan_sizes(only, 1).sizings[0].quality
    return total


if __name__ == "__main__":
    main()
