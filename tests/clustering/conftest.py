"""Simulated fleets: what the measured ones cannot show (scale, edge cases, known offsets)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.records import ClusteringRecord, Devices, Floats, Ints, Measurements


@dataclass(frozen=True)
class Kind:
    """Devices of one kind: log latency `offset`, `slope` along a hidden axis, clock and load."""

    devices: int
    offset: float = 0.0
    slope: float = 0.0
    clock: float = 2500.0
    load: float = 50.0
    tail: float = 0.02


@dataclass(frozen=True)
class Simulated:
    """A simulated fleet with what it was made from."""

    measurements: Measurements
    kind: Ints
    offset: Floats
    axis: Floats


def make_fleet(
    kinds: Sequence[Kind],
    *,
    seed: int = 0,
    rows: int = 20,
    configurations: int = 30,
    noise: float = 0.03,
    within: float = 0.015,
    dense: float = 0.5,
    context: bool = True,
) -> Simulated:
    """A fleet that measures the dense network with chance `dense`, else a random pruned one."""
    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.repeat(np.arange(len(kinds)), [k.devices for k in kinds]))
    devices = len(kind)

    def of_kind(name: str) -> Floats:
        values: Floats = np.array([float(getattr(k, name)) for k in kinds])[kind]
        return values

    offset = of_kind("offset") + rng.normal(0, within, devices)
    device = np.repeat(np.arange(devices), rows)
    configuration = rng.integers(0, configurations, devices * rows)
    configuration[rng.random(devices * rows) < dense] = 0
    effect = np.append(4.0, rng.normal(3.0, 0.4, configurations - 1))
    axis = np.append(0.0, rng.normal(0, 1, configurations - 1))
    slow = offset[device] + of_kind("slope")[device] * axis[configuration]
    latency = np.exp(effect[configuration] + slow + noise * rng.standard_t(5, len(device)))
    clock = of_kind("clock") * np.exp(rng.normal(0, 0.01, devices))
    load = np.clip(of_kind("load") + rng.normal(0, 2, devices), 0, 100)
    measurements = Measurements(
        devices=Devices(np.array([f"d{i:04d}" for i in range(devices)], object), np.ones(devices)),
        models=("net",) * configurations,
        channels=("", *(f"conv={i}" for i in range(1, configurations))),
        runtimes=("",),
        device=device,
        configuration=configuration,
        runtime=np.zeros(len(device), dtype=np.int64),
        batch_size=np.ones(len(device), dtype=np.int64),
        latency_ms=latency,
        latency_p95_ms=latency
        * np.exp(np.abs(rng.normal(0, 1, len(device)) * of_kind("tail")[device])),
        runs=rng.integers(3, 50, len(device)).astype(np.float64),
        measured_at=np.full(len(device), np.nan),
        context={"cpu_freq_mhz": clock[device], "cpu_load_pct": load[device]} if context else {},
    )
    return Simulated(measurements, kind, offset, axis)


@pytest.fixture(scope="session")
def kind() -> type[Kind]:
    return Kind


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Simulated]:
    return make_fleet


@pytest.fixture(scope="session")
def run() -> Callable[..., ClusteringRecord]:
    def clustered(measurements: Measurements, **options: Any) -> ClusteringRecord:
        chosen = {"resamples": 0, "measurement_mark": 7, **options}
        return cluster(measurements, created_at=datetime(2026, 11, 21, tzinfo=UTC), **chosen)

    return clustered


@pytest.fixture(scope="session")
def only() -> Callable[[Measurements, Any], Measurements]:
    """Rows of measurements by mask or index."""

    return Measurements.at
