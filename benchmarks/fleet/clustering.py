"""Clusters against known truth, and the time for a large fleet.

    python -m benchmarks.fleet.clustering [--devices 100000] [--rows 20]

Prints the adjusted Rand index on the measured fleets (outliers count with the cluster that they are
given) of the default and of every other algorithm, beside HDAP's own way: DBSCAN (eps 0.5,
min_samples 5) on standardised repeated dense latencies. `rows`: all, those of the dense network, or
few: all dense ones, and those of pruned networks of three devices of each kind. `columns` beside
latency: context (clock and load), software (runtime, precision, and a firmware that says nothing),
or none. Then how well anybody could tell the kinds apart by latency alone, held-out errors of
surrogates against medians of clusters and of single devices, how often a column without effect
splits a fleet, and the seconds and the memory for a simulated fleet;
`--devices 1000000` is the target of the design.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
from sklearn.cluster import DBSCAN
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from benchmarks.fleet.measured_fleets import SEVERAL, boundness, read_fleet, traced, with_software
from hdap.clustering.algorithms.registry import ALGORITHMS
from hdap.clustering.cluster_fleet import cluster
from hdap.clustering.workload_effect import Decomposition, decompose
from hdap.fleet_data.records import Bools, Devices, Floats, Ints, Measurements, TextColumn
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.training_data.training_cells import training_data
from hdap.surrogate.validation.cross_validation import cross_validate, score

NOW = datetime.now(UTC)
PRUNED_BY = 3
"""Devices of each kind that keep their rows of pruned networks where few have any."""


def hdap_way(measurements: Measurements) -> Ints:
    """Labels by HDAP: DBSCAN on repeated dense latencies, one column a repeat, standardised."""
    dense = measurements.at(measurements.dense)
    repeats = int(np.bincount(dense.device).min())
    order = np.argsort(dense.device, kind="stable")
    starts = np.searchsorted(dense.device[order], np.arange(len(dense.devices.ids)))
    table = dense.latency_ms[order][starts[:, None] + np.arange(repeats)]
    labels: Ints = DBSCAN(eps=0.5, min_samples=5).fit_predict(StandardScaler().fit_transform(table))
    return labels


def simulate(
    devices: int,
    rows: int,
    seed: int = 0,
    kinds: tuple[float, ...] = (0.40, 0.30, 0.20, 0.09, 0.01),
) -> tuple[Measurements, Ints]:
    """A simulated fleet of five kinds, by their shares, and the kind of each device."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(5, devices, p=kinds)
    offset = np.array([0.0, 0.10, 0.4, 0.8, 1.3])[kind] + rng.normal(0, 0.02, devices)
    clock = np.array([2500, 2480, 1700, 1200, 700])[kind] * np.exp(rng.normal(0, 0.02, devices))
    load = np.clip(np.array([40, 90, 40, 60, 40])[kind] + rng.normal(0, 4, devices), 0, 100)
    configurations = 200
    device = np.repeat(np.arange(devices), rows)
    pruned = rng.integers(1, configurations, devices * rows)
    configuration = np.where(rng.random(devices * rows) < 0.7, 0, pruned)
    effect = np.append(4.0, rng.normal(3.0, 0.4, configurations - 1))
    noise = 0.03 * rng.standard_t(4, devices * rows)
    latency = np.exp(effect[configuration] + offset[device] + noise)
    tail: Floats = np.exp(np.abs(rng.normal(0, 0.03, devices * rows)))
    measurements = Measurements(
        devices=Devices(np.arange(devices).astype(str).astype(object), np.ones(devices)),
        models=("resnet50",) * configurations,
        channels=("", *(f"conv1={i}" for i in range(1, configurations))),
        runtimes=("",),
        device=device,
        configuration=configuration,
        runtime=np.zeros(len(device), dtype=np.int64),
        batch_size=np.ones(len(device), dtype=np.int64),
        latency_ms=latency,
        latency_p95_ms=latency * tail,
        runs=rng.integers(1, 60, len(device)).astype(np.float64),
        measured_at=np.full(len(device), np.nan),
        context={"cpu_freq_mhz": clock[device], "cpu_load_pct": load[device]},
    )
    return measurements, kind


@dataclass(frozen=True)
class View:
    """What a clustering sees of a fleet: rows of which networks, and which columns beside them."""

    fleet: str
    rows: str
    columns: str
    measurements: Measurements
    kinds: list[str]


def views() -> Iterator[View]:
    """Everything that the tables are about."""
    for fleet in ("resnet50", "mobilenetv1_100"):
        whole, kinds = read_fleet(fleet)
        for rows, part in (("all", whole), ("dense", whole.at(whole.dense))):
            yield View(fleet, rows, "context", part, kinds)
            yield View(fleet, rows, "none", replace(part, context={}), kinds)
    for fleet in SEVERAL:
        whole, kinds = read_fleet(fleet)
        some = whole.at(whole.dense | _first_of_each_kind(kinds)[whole.device])
        for rows, part in (("all", whole), ("few", some), ("dense", whole.at(whole.dense))):
            yield View(fleet, rows, "none", part, kinds)
            yield View(fleet, rows, "software", with_software(part, kinds), kinds)


def _first_of_each_kind(kinds: list[str]) -> Bools:
    kind = np.array(kinds)
    chosen = [np.flatnonzero(kind == k)[:PRUNED_BY] for k in np.unique(kind)]
    return np.isin(np.arange(len(kind)), np.concatenate(chosen))


def print_accuracy() -> None:
    """Adjusted Rand index of every algorithm on every measured fleet."""
    names = [name for name in ALGORITHMS if name != "hdbscan"]
    head = "".join(f"{name:>9}" for name in ("HDAP", *names))
    print(f"{'fleet':<16} {'rows':<6} {'columns':<9} {'hdbscan':>8} {'K':>3} {'outliers':>8}{head}")
    for view in views():
        record = cluster(view.measurements, resamples=0, created_at=NOW, measurement_mark=0)
        found, outliers = len(record.clusters), int(record.outlier.sum())
        others = [_index(view, _labels(view, name)) for name in names]
        hdap = _index(view, hdap_way(view.measurements))
        print(
            f"{view.fleet:<16} {view.rows:<6} {view.columns:<9} "
            f"{_index(view, record.cluster):8.2f} {found:3d} {outliers:8d}"
            + "".join(f"{index:9.2f}" for index in (hdap, *others))
        )


def _labels(view: View, algorithm: str) -> Ints:
    rows = view.measurements
    return cluster(
        rows, algorithm=algorithm, resamples=0, created_at=NOW, measurement_mark=0
    ).cluster


def _index(view: View, labels: Ints) -> float:
    return float(adjusted_rand_score(view.kinds, labels))


def print_limits() -> None:
    """How well anybody could tell the kinds apart by latency who knew what they are, and how often
    devices of one kind, by chance, seem as much two kinds as the two fast ones do."""
    print("\nlimits of latency alone, all rows   best cuts  nearest mean  + slope  by chance")
    for fleet in ("resnet50", "mobilenetv1_100"):
        rows, kinds = read_fleet(fleet)
        parts = decompose(rows)
        slope = _slope(parts, rows)
        speed, both = parts.offset[:, None], np.column_stack([parts.offset, slope])
        print(
            f"{fleet:<35} {_best_cuts(parts.offset, kinds):9.2f} {_nearest(speed, kinds):13.2f} "
            f"{_nearest(both, kinds):8.2f} {100 * _by_chance(parts.offset, kinds):8.1f} %"
        )
        for kind in sorted(set(kinds), key=lambda k: _of(parts.offset, kinds, k)[0]):
            (speed_at, speed_sd), (slope_at, slope_sd) = (
                _of(v, kinds, kind) for v in (parts.offset, slope)
            )
            print(
                f"  {kind:<12} speed {100 * speed_at:+6.1f} +- {100 * speed_sd:.1f} %, "
                f"slope {100 * slope_at:+.2f} +- {100 * slope_sd:.2f} %"
            )


def _slope(parts: Decomposition, rows: Measurements) -> Floats:
    """Slope of each device along memory-boundness, in log latency per standard deviation of it."""
    axis = boundness(rows)[parts.configuration_of]
    axis = (axis - axis.mean()) / axis.std()
    place = axis[parts.workload]
    devices = len(parts.offset)
    rows_of = np.bincount(rows.device, minlength=devices)
    place = place - (np.bincount(rows.device, place, devices) / rows_of)[rows.device]
    pull = np.bincount(rows.device, parts.weight * place * parts.residual, devices)
    return pull / np.bincount(rows.device, parts.weight * place**2, devices)


def _by_chance(speed: Floats, kinds: list[str], fleets: int = 100_000) -> float:
    """Share of fleets of one kind, normal in speed, whose best cut parts them at least as far as
    that of the fresh and the contended devices."""
    fast = speed[np.isin(kinds, ("fresh", "contended"))]
    chance = np.random.default_rng(0).normal(size=(fleets, len(fast)))
    return float(np.mean(_widest(chance) >= _widest(fast[None, :])))


def _widest(fleets: Floats, least: int = 2) -> Floats:
    """Of each row the largest distance of two means over the deviation within, over all cuts."""
    ordered = np.sort(fleets, axis=1)
    count = ordered.shape[1]
    found = np.zeros(len(ordered))
    for cut in range(least, count - least + 1):
        low, high = ordered[:, :cut], ordered[:, cut:]
        within = (low.var(axis=1) * cut + high.var(axis=1) * (count - cut)) / (count - 2)
        found = np.maximum(found, (high.mean(axis=1) - low.mean(axis=1)) / np.sqrt(within))
    return found


def _of(values: Floats, kinds: list[str], kind: str) -> tuple[float, float]:
    mine = values[np.array(kinds) == kind]
    return float(mine.mean()), float(mine.std())


def _best_cuts(speed: Floats, kinds: list[str]) -> float:
    """The best index of all ways to cut the devices, in order of speed, into as many groups as
    there are kinds."""
    kind = np.array(kinds)[np.argsort(speed)]
    cuts = combinations(range(1, len(kind)), len(set(kinds)) - 1)
    places = np.arange(len(kind))
    return max(float(adjusted_rand_score(kind, np.searchsorted(c, places, "right"))) for c in cuts)


def _nearest(points: Floats, kinds: list[str]) -> float:
    """The index of giving each device to the nearest kind, whose means and common covariance are
    those of all other devices (linear discriminant analysis, leaving one out)."""
    kind = np.array(kinds)
    model = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(len(set(kinds)), 0.25))
    guess = cross_val_predict(model, points, kind, cv=LeaveOneOut())
    return float(adjusted_rand_score(kind, guess))


def print_held_out() -> None:
    """What the median of a cluster hides: held-out error against it and of single devices."""
    rows, _ = read_fleet("rollout")
    print("\nheld-out error, roll-out fleet      devices  of medians  a device  worst device")
    for name, seen in (("clusters of all rows", rows), ("of dense rows", rows.at(rows.dense))):
        record = cluster(seen, resamples=0, created_at=NOW, measurement_mark=0)
        data = training_data(traced("resnet50"), rows, record)
        for s in score(cross_validate(FleetModel, data), data):
            print(
                f"{name:<24} cluster {s.cluster} {s.devices:9d} {100 * s.mape:9.1f} % "
                f"{100 * s.device_error:7.1f} % {100 * s.worst_error:7.1f} % {s.worst_device}"
            )


def print_chance(fleets: int = 40) -> None:
    """Fleets of one kind in which a firmware, or a context column, differs by chance."""
    split = {"firmware": 0, "battery_pct": 0}
    for seed in range(fleets):
        rows, _ = simulate(120, 20, seed, kinds=(1.0, 0.0, 0.0, 0.0, 0.0))
        rng = np.random.default_rng(seed)
        halves: Ints = rng.integers(1, 3, 120)[rows.device]
        firmware = TextColumn(halves, ("", "5.1", "5.2"))
        battery = halves.astype(np.float64) * 40
        for name, changed in (
            ("firmware", replace(rows, software={"firmware": firmware})),
            ("battery_pct", replace(rows, context={**rows.context, "battery_pct": battery})),
        ):
            record = cluster(changed, resamples=0, created_at=NOW, measurement_mark=0)
            split[name] += len(record.clusters) > 1
    told = ", ".join(f"{name} in {number}" for name, number in split.items())
    print(f"\nsimulated fleets of one kind that a column without effect split: {told} of {fleets}")


def print_speed(devices: int, rows: int) -> None:
    """Seconds and peak memory of a default clustering of a simulated fleet."""
    measurements, kinds = simulate(devices, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.perf_counter()
    record = cluster(measurements, created_at=NOW, measurement_mark=0)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    index = adjusted_rand_score(kinds, record.cluster)
    print(
        f"\nsimulated fleet: {devices:,} devices x {rows} rows: {seconds:.1f} s, peak "
        f"{peak:.2f} GiB (data and making them {before:.2f}); {len(record.clusters)} clusters, "
        f"{int(record.outlier.sum())} outliers, index {index:.3f}, "
        f"stability {record.stability:.2f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    print_accuracy()
    print_limits()
    print_held_out()
    print_chance()
    print_speed(options.devices, options.rows)


if __name__ == "__main__":
    main()
