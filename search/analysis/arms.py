"""Dense and pruned in each precision, side by side: what pruning brings, what a precision brings.

Devices of two runtimes differ by more than a precision does, so two precisions are compared on the
runtimes that the fleet runs in both, each with its share of the fleet. A precision that nobody
measured has no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.records import Floats, Ints
from hdap.search.problem.fleet_weights import FleetWeights

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Of one weight. What a quantiser adds (scales, zero points, wide biases) is not in it."""
FULL = "float32"
Network = Literal["dense", "pruned"]


@dataclass(frozen=True)
class Arm:
    """A network in a precision on the devices of `runtimes`, `weight_share` of the fleet.

    `latency_ms` is their mean, `measured` or predicted (NaN: unknown); `over_full` how many times
    as fast as the dense network in full precision on the same runtimes. `weight_bytes` are those of
    the weights alone (None: a precision of unknown width). `accuracy` is a share (NaN: unknown).
    """

    network: Network
    precision: str
    runtimes: tuple[str, ...]
    weight_share: float
    flops: int
    weight_bytes: int | None
    latency_ms: float
    measured: bool
    over_full: float
    accuracy: float = float("nan")


@dataclass(frozen=True)
class ClusterLatencies:
    """Latencies of the dense and the pruned network on K clusters (`2 x K`, NaN: unknown), and
    which of the two were measured."""

    ms: Floats
    measured: tuple[bool, bool]


def arms(
    architecture: Architecture,
    pruned: Counts,
    kernels: Sequence[tuple[str, str]],
    fleet: FleetWeights,
    latencies: ClusterLatencies,
    accuracy: tuple[float, float] = (float("nan"), float("nan")),
) -> tuple[Arm, ...]:
    """The four arms of each precision beside the full one; none where no runtime has both.

    `kernels` (K) are runtime and precision of each cluster ("": unknown or several), `pruned`
    counts (`groups`), `accuracy` that of dense and pruned in full precision.
    """
    others = sorted({precision for _, precision in kernels} - {FULL, ""})
    found: list[Arm] = []
    for precision in others:
        both = _runtimes_of_both(kernels, precision)
        if both:
            for one in (FULL, precision):
                found += _pair(
                    architecture, pruned, kernels, fleet, latencies, (both, precision, one)
                )
    if not found:
        return ()
    return tuple(_with_accuracy(arm, accuracy) for arm in found)


def _runtimes_of_both(kernels: Sequence[tuple[str, str]], precision: str) -> tuple[str, ...]:
    every = {runtime for runtime, _ in kernels if runtime}
    return tuple(sorted(r for r in every if {(r, FULL), (r, precision)} <= set(kernels)))


def _pair(
    architecture: Architecture,
    pruned: Counts,
    kernels: Sequence[tuple[str, str]],
    fleet: FleetWeights,
    latencies: ClusterLatencies,
    asked: tuple[tuple[str, ...], str, str],
) -> list[Arm]:
    """Dense and pruned in one precision, on runtimes that are compared for another."""
    runtimes, other, precision = asked
    counts = np.stack([architecture.widths, pruned])
    macs, weights = flops(architecture, counts), parameters(architecture, counts)
    size = BYTES.get(precision)
    shares = {r: _share(kernels, fleet, r, (FULL, other)) for r in runtimes}
    full = _mean(kernels, fleet, latencies.ms[0], shares, FULL)
    names: tuple[Network, Network] = ("dense", "pruned")
    found = []
    for row, name in enumerate(names):
        ms = _mean(kernels, fleet, latencies.ms[row], shares, precision)
        found.append(
            Arm(
                name,
                precision,
                runtimes,
                sum(shares.values()),
                int(macs[row]),
                None if size is None else int(weights[row]) * size,
                ms,
                latencies.measured[row],
                full / ms,
            )
        )
    return found


def _with_accuracy(arm: Arm, accuracy: tuple[float, float]) -> Arm:
    if arm.precision != FULL:
        return arm
    return replace(arm, accuracy=accuracy[arm.network == "pruned"])


def _mean(
    kernels: Sequence[tuple[str, str]],
    fleet: FleetWeights,
    cluster_ms: Floats,
    shares: dict[str, float],
    precision: str,
) -> float:
    """Mean latency of a network in a precision over runtimes with these shares."""
    total = 0.0
    for runtime, share in shares.items():
        mine = _clusters(kernels, runtime, precision)
        weight = fleet.shares[mine].sum()
        if not weight > 0.0:
            return float("nan")
        total += share * float(cluster_ms[mine] @ fleet.mean[mine]) / float(weight)
    return total / sum(shares.values())


def _share(
    kernels: Sequence[tuple[str, str]],
    fleet: FleetWeights,
    runtime: str,
    precisions: tuple[str, str],
) -> float:
    mine = np.concatenate([_clusters(kernels, runtime, p) for p in precisions])
    return float(fleet.shares[mine].sum())


def _clusters(kernels: Sequence[tuple[str, str]], runtime: str, precision: str) -> Ints:
    return np.array([k for k, pair in enumerate(kernels) if pair == (runtime, precision)])
