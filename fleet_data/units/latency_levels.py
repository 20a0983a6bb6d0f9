"""What is looked at to tell a unit: how long each device took, row after row summed up."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Bools, Floats, Ints

WORK_EXPONENT = 0.75
"""Latency over a power of FLOPs compares a pruned network with the dense one: between 1 (a device
that computes all the time) and 0 (one that waits for launches), so that either is near."""


@dataclass(frozen=True)
class LatencyLevels:
    """Columns of n groups of rows that agree in device, configuration, runtime and batch size and
    lie near each other.

    `device`, `model`, `runtime` are any integers (runtime 0: unknown); `log_ms` is the mean log
    latency of the dense network at batch size 1 that the rows amount to; `rows` counts them,
    `batch` is their batch size, `clock_mhz` their CPU's clock (NaN: unknown). `stored`: they came
    with an earlier ingest; `doubted`: they are set aside. `sure`: somebody said so; they are never
    doubted.
    """

    device: Ints
    model: Ints
    runtime: Ints
    log_ms: Floats
    rows: Floats
    batch: Floats
    clock_mhz: Floats
    stored: Bools
    doubted: Bools
    sure: Bools

    def __len__(self) -> int:
        return len(self.log_ms)

    def at(self, chosen: Bools | Ints) -> "LatencyLevels":
        """The chosen groups."""
        return LatencyLevels(*(getattr(self, f.name)[chosen] for f in fields(self)))


@dataclass(frozen=True)
class ModelFacts:
    """What is known of m models: FLOPs and parameters of the dense network (NaN: unknown), and
    for each runtime number whether it says that it runs on a CPU."""

    flops: Floats
    parameters: Floats
    on_cpu: NDArray[np.bool_]


def dense_equivalent(latency_ms: Floats, batch: Floats, flops: Floats, dense: Floats) -> Floats:
    """Log latency of the dense network at batch size 1; FLOPs are NaN where unknown (n each)."""
    share = np.where(np.isfinite(flops) & np.isfinite(dense), flops / dense, 1.0)
    result: Floats = np.log(latency_ms / batch) - WORK_EXPONENT * np.log(share)
    return result
