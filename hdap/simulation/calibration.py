"""Fitting the latency law and the noise to measured fleets, and saying how well it fits."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.simulation.calibrated import Calibration, KindFit
from hdap.simulation.law import LatencyLaw, Noise, slowed
from hdap.simulation.measured import KINDS, PERIOD_MS, MeasuredFleet

_DENSE_WEIGHT = 0.3  # a fleet's dense rows are many and alike: together they must not rule the fit
_PRIOR = 0.03  # pull towards the start: constants that the data do not move stay where they were

START = LatencyLaw(
    kernel_ns=0.012,
    pointwise_ns=0.012,
    depthwise_ns=0.003,
    byte_ns=0.02,
    layer_ms=0.003,
    block_penalty=0.05,
    pack_penalty=0.1,
    input_penalty=0.1,
    depthwise_block_penalty=0.5,
    depthwise_pack_penalty=2.0,
    positions_half=10.0,
    channels_half=4.0,
    sharpness=1.5,
    contended_memory=0.1,
    contended_core=0.02,
    duty_late=0.1,
)
"""Where the fit begins: a CPU core with wide vectors."""

_FITTED = tuple(f.name for f in fields(LatencyLaw) if f.name not in {"block", "pack"})


def calibrate(
    fleets: Sequence[MeasuredFleet],
    held_out_share: float = 0.3,
    seed: int = 0,
    start: LatencyLaw = START,
) -> Calibration:
    """One law for all `fleets` (the same machine), fitted on a part of the configurations.

    Non-linear least squares on log latency with a soft L1 loss; dense rows are always in the fit.
    `start` is where the fit begins; its `block` and `pack` stay. All figures are on the
    configurations that were held out.
    """
    rng = np.random.default_rng(seed)
    train = [_train_rows(f, held_out_share, rng) for f in fleets]
    law = fit_law(fleets, train, start)
    fits: list[KindFit] = []
    quantiles = {}
    for fleet, rows in zip(fleets, train, strict=True):
        fits.extend(_kind_fits(fleet, rows, law))
        error = np.log(fleet.latency_ms / predicted_ms(law, fleet))[~rows]
        levels = np.quantile(error, [0.05, 0.25, 0.5, 0.75, 0.95])
        quantiles[fleet.architecture.model] = tuple(float(x) for x in levels)
    return Calibration(law, fit_noise(fleets[0]), tuple(fits), quantiles, held_out_share, seed)


def fit_law(
    fleets: Sequence[MeasuredFleet], rows: Sequence[Bools], start: LatencyLaw = START
) -> LatencyLaw:
    """The law that explains the chosen `rows` of each fleet best, with the blocks of `start`."""
    begin = _vector(start)

    def residuals(vector: Floats) -> Floats:
        law = _law(vector, start)
        parts = [
            (np.where(f.dense, _DENSE_WEIGHT, 1.0) * np.log(predicted_ms(law, f) / f.latency_ms))[r]
            for f, r in zip(fleets, rows, strict=True)
        ]
        return np.concatenate([*parts, _PRIOR * (vector - begin)])

    found = least_squares(residuals, begin, loss="soft_l1", f_scale=0.05, max_nfev=80)
    return _law(found.x, start)


def predicted_ms(law: LatencyLaw, fleet: MeasuredFleet) -> Floats:
    """What `law` says to each row of `fleet`, n. A quota slows memory as much as the core."""
    profile = law.profile(fleet.architecture, fleet.counts)
    busy = profile.rows(fleet.configuration, 1 + law.contended_memory * fleet.traffic)
    busy = busy * (1 + law.contended_core * fleet.traffic)
    return slowed(busy, fleet.clock, PERIOD_MS, law)


def fit_noise(fleet: MeasuredFleet) -> dict[str, Noise]:
    """Noise of each kind, from rows that should be equal.

    Scatter comes from pairs of devices of one kind that measured the same configuration within
    seconds: what drifts, drifts for both. Drift is the rest of the robust variance of a device's
    dense rows, spikes are what lies more than four of its deviations above the median, and the
    share of the 95th percentile above the median is taken from all rows.
    """
    result = {}
    for number, kind in enumerate(KINDS):
        rows = fleet.kinds == number
        error = _centred(np.log(fleet.latency_ms), fleet.device, fleet.dense & rows)
        scale = _robust(error)
        scatter = _scatter(fleet, rows)
        spikes = np.expm1(error[error > 4 * scale])
        share = np.maximum(fleet.p95_ms[rows] / fleet.latency_ms[rows] - 1, 1e-4)
        low, middle, high = np.quantile(np.log(share), [0.25, 0.5, 0.75])
        result[kind] = Noise(
            scatter=scatter,
            drift=max(scale**2 - scatter**2, (0.1 * scale) ** 2) ** 0.5,
            spike_rate=max(len(spikes) / len(error), 0.001),
            spike=float(np.median(spikes)) if len(spikes) else 4 * scale,
            tail=float(np.exp(middle)),
            spread=float((high - low) / 1.349),
        )
    return result


def _scatter(fleet: MeasuredFleet, rows: Bools) -> float:
    """Robust deviation of a report, from pairs of rows with the same configuration (of `rows`)."""
    chosen = np.flatnonzero(rows & ~fleet.dense)
    level = np.log(fleet.latency_ms) - _device_level(fleet)
    order = chosen[np.argsort(fleet.configuration[chosen], kind="stable")]
    same = fleet.configuration[order[1:]] == fleet.configuration[order[:-1]]
    difference = (level[order[1:]] - level[order[:-1]])[same]
    return _robust(difference) / 2**0.5


def _device_level(fleet: MeasuredFleet) -> Floats:
    """Median log latency of the dense model on the device of each row, n."""
    dense = fleet.dense
    level = np.array(
        [
            np.median(np.log(fleet.latency_ms[dense & (fleet.device == d)]))
            for d in range(int(fleet.device.max()) + 1)
        ]
    )
    result: Floats = level[fleet.device]
    return result


def _robust(values: Floats) -> float:
    scale: float = 1.4826 * float(np.median(np.abs(values)))
    return scale


def _train_rows(fleet: MeasuredFleet, held_out: float, rng: np.random.Generator) -> Bools:
    kept: Bools = rng.random(len(fleet.counts)) >= held_out
    return kept[fleet.configuration] | fleet.dense


def _kind_fits(fleet: MeasuredFleet, train: Bools, law: LatencyLaw) -> list[KindFit]:
    error = np.log(predicted_ms(law, fleet) / fleet.latency_ms)
    centred = np.zeros(len(error))
    centred[~train] = _centred(error, fleet.device, ~train)
    work = np.log(flops(fleet.architecture, fleet.counts).astype(float))[fleet.configuration]
    kinds = fleet.kinds
    result = []
    for number, kind in enumerate(KINDS):
        test = ~train & (kinds == number)
        # The base line gets its rate from the same training rows, pruned ones, of the kind.
        fitted = train & (kinds == number) & ~fleet.dense
        measured = np.log(fleet.latency_ms)
        rate = np.median((measured - work)[fitted])
        result.append(
            KindFit(
                fleet.architecture.model,
                kind,
                int(test.sum()),
                float(np.abs(np.expm1(error[test])).mean()),
                float(np.abs(np.expm1(centred[test])).mean()),
                float(np.abs(np.expm1((work + rate - measured)[test])).mean()),
                float(spearmanr((measured + error)[test], measured[test]).statistic),
            )
        )
    return result


def _centred(values: Floats, device: Ints, rows: Bools) -> Floats:
    chosen, owner = values[rows], device[rows]
    medians = np.zeros(int(device.max()) + 1)
    for one in np.unique(owner):
        medians[one] = np.median(chosen[owner == one])
    result: Floats = chosen - medians[owner]
    return result


def _vector(law: LatencyLaw) -> Floats:
    # Constants are positive and span decades: logarithms. A sharpness below 1 is no maximum.
    values = np.array([getattr(law, name) for name in _FITTED], dtype=np.float64)
    values[_FITTED.index("sharpness")] -= 1.0
    return np.log(values)


def _law(vector: Floats, start: LatencyLaw) -> LatencyLaw:
    values = np.exp(np.clip(vector, -12.0, 6.0))
    values[_FITTED.index("sharpness")] += 1.0
    return replace(start, **dict(zip(_FITTED, values.tolist(), strict=True)))
