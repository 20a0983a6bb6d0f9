"""From measurements of a trial to the figures that a promise is judged by.

Networks: found, uniform (the best of all grids), dense. A device's latency counts divided by its
factor; a cluster's is the geometric mean over its representatives, the fleet's the device-weighted
mean.
Intervals are 90 %, by resampling devices' residuals (a device's three networks stay together, so
whatever slows a device cancels in a ratio). What is said of the figures: `judgement`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.analysis.judgement import ClusterCheck, Interval, Sample, SpeedUp, Verdict
from hdap.search.problem.fleet_weights import FleetWeights

FOUND, UNIFORM, DENSE = range(3)
DRAWS = 4000


@dataclass(frozen=True)
class Promise:
    """Predicted ms of the three networks on K clusters, each `K x 3` (found, uniform, dense).

    `over_uniform` is what a search promises of the gain over uniform that it predicts: less than
    all of it (`promised_gain`).
    """

    ms: Floats
    low_ms: Floats
    high_ms: Floats
    over_uniform: float = 1.0


@dataclass(frozen=True)
class Readings:
    """Measured ms (`D x 3`: found, uniform, dense) of D devices that measured all three networks.

    `factor` is a device's latency over its cluster's; who is not a `representative` is there to
    check the clustering.
    """

    device: NDArray[np.object_]
    cluster: Ints
    representative: Bools
    factor: Floats
    ms: Floats

    def __len__(self) -> int:
        return len(self.device)


def verify(promise: Promise, fleet: FleetWeights, readings: Readings, seed: int = 0) -> Verdict:
    """Compare what was promised of a network with what was measured.

    Raises NotEnoughDataError where no representative measured all three networks, or none of a
    cluster that counts in the fleet.
    """
    chosen = readings.representative
    if not chosen.any():
        raise NotEnoughDataError(
            "a verification needs a representative that measured found, uniform and dense, but "
            "none has: run the bundle of `hdap verify --out` on the devices in its devices.txt"
        )
    cluster = readings.cluster[chosen]
    if not fleet.mean[cluster].any():
        names = ", ".join(map(str, np.unique(cluster).tolist()))
        raise NotEnoughDataError(
            f"a verification needs a representative of a cluster that has weight in the fleet of "
            f"its study, but those that measured are of {names}, which have none: measure others"
        )
    logs = np.log(readings.ms[chosen] / readings.factor[chosen, None])
    counts = np.bincount(cluster, minlength=len(promise.ms))
    middle = _means(logs, cluster, counts)
    drawn = np.exp(_resampled(logs, middle, cluster, counts, seed))
    weight = np.where(counts > 0, fleet.mean, 0.0)
    clusters = _checks(promise, counts, np.exp(middle), drawn)
    # The fleet is judged as one more cluster, over what was measured.
    ms, low, high = (
        _weighted(x[None], weight) for x in (promise.ms, promise.low_ms, promise.high_ms)
    )
    measured, draws = _weighted(np.exp(middle)[None], weight), _weighted(drawn, weight)
    (whole,) = _checks(Promise(ms, low, high), counts.sum(keepdims=True), measured, draws[:, None])
    shares = fleet.shares.sum(axis=1)
    return Verdict(
        clusters=clusters,
        fleet=replace(whole, cluster=-1),
        covered=float(shares[counts > 0].sum() / shares.sum()),
        speed_ups=_speed_ups(ms[0], promise.over_uniform, measured[0], draws),
        sample=_sample(readings, middle),
    )


def _checks(
    promise: Promise, counts: Ints, measured: Floats, drawn: Floats
) -> tuple[ClusterCheck, ...]:
    """The found network on each of K clusters; `measured` is `K x 3`, `drawn` `draws x K x 3`."""
    predicted = [x[:, FOUND].tolist() for x in (promise.ms, promise.low_ms, promise.high_ms)]
    return tuple(
        ClusterCheck(
            k,
            int(counts[k]),
            Interval(*figures),
            _interval(float(measured[k, FOUND]), drawn[:, k, FOUND]),
        )
        for k, figures in enumerate(zip(*predicted, strict=True))
    )


def _speed_ups(
    predicted: Floats, over_uniform: float, measured: Floats, draws: Floats
) -> tuple[SpeedUp, ...]:
    """Ratios of fleet means: three predicted and three measured ones, and `draws x 3`."""
    return tuple(
        SpeedUp(
            name,
            float(share * predicted[other] / predicted[FOUND]),
            _interval(float(measured[other] / measured[FOUND]), draws[:, other] / draws[:, FOUND]),
        )
        for name, other, share in (("uniform", UNIFORM, over_uniform), ("dense", DENSE, 1.0))
    )


def _means(logs: Floats, cluster: Ints, counts: Ints) -> Floats:
    """Mean log ms of each cluster, `K x 3`; NaN for one that nobody measured."""
    columns = [np.bincount(cluster, c, minlength=len(counts)) for c in logs.T]
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.stack(columns, axis=1) / counts[:, None]
    return result


def _resampled(logs: Floats, middle: Floats, cluster: Ints, counts: Ints, seed: int) -> Floats:
    """Cluster means of resampled devices, `DRAWS x K x 3`.

    Residuals of all clusters in one pot: three devices a cluster are too few for pots of their own,
    and a cluster of one device has none. NaN where no cluster has two devices.
    """
    several = counts[cluster] > 1
    if not several.any():
        return np.full((DRAWS, *middle.shape), np.nan)
    size = counts[cluster[several]]
    residual = logs[several] - middle[cluster[several]]
    residual *= np.sqrt(size / (size - 1))[:, None]
    rng = np.random.default_rng(seed)
    picked = residual[rng.integers(0, len(residual), size=(DRAWS, len(cluster)))]
    noise = np.zeros((DRAWS, *middle.shape))
    for k in np.flatnonzero(counts):
        noise[:, k] = picked[:, cluster == k].mean(axis=1)
    return middle + noise


def _weighted(cluster_ms: Floats, weight: Floats) -> Floats:
    """Fleet means over the measured clusters: `n x K x 3` -> `n x 3`."""
    result: Floats = np.einsum("nkj,k->nj", np.nan_to_num(cluster_ms), weight / weight.sum())
    return np.where(np.isnan(cluster_ms[:, weight > 0]).any(axis=1), np.nan, result)


def _interval(value: float, draws: Floats) -> Interval:
    if np.isnan(draws).any():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(draws, (0.05, 0.95))
    return Interval(value, float(low), float(high))


def _sample(readings: Readings, middle: Floats) -> Sample:
    others = ~readings.representative & np.isfinite(middle[readings.cluster, FOUND])
    cluster = readings.cluster[others]
    logs = np.log(readings.ms[others, FOUND] / readings.factor[others])
    return Sample(readings.device[others], cluster, np.expm1(logs - middle[cluster, FOUND]))
