"""Learning how context moves latency: a mixed model of rows (see `context_effect` for the effect).

`log latency = base + effect of context + cluster + device + configuration + noise`, with normal
random effects (Searle, Casella and McCulloch, "Variance Components", 1992). What a device does when
its own clock moves so counts most, what devices of a cluster differ by less, and what clusters
differ by least: they differ in more than clocks. Coefficients are shrunk to physics: what computes
takes `1 / clock`. A column stays only if it lowers the error on devices that were not learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.surrogate.context.context_effect import UNIT, ContextEffect, clock_effect
from hdap.surrogate.context.context_rows import (
    CLOCKS,
    LINES,
    Rows,
    by_device,
    context_rows,
    reported,
    sample_rows,
    typical_of_clusters,
)
from hdap.surrogate.context.variance_components import learn_variances
from hdap.surrogate.training_data.training_cells import TrainingData

PRIOR_MEAN = np.array([1.0, 0.5, 0.0, 0.0])
PRIOR_SD = np.array([0.1, 0.5, 0.02, 0.02])
START_SD = (0.15, 0.02, 0.03, 1.0)
"""Prior medians of the standard deviations of cluster, device, configuration, and noise (a factor
on the spread of the rows)."""
FLAT_SD = 3.0
LEAST_NOISE = 0.003
LINEAR_STEPS = 2
MOVED = 0.01
"""Log clock by which a row must differ from its device's median to show anything."""
MOVED_UNITS = 0.1
"""The same for temperature and load, in units."""
CLOCK_ONLY = np.array([1.0, 1.0, 0.0, 0.0])
BETTER = 0.99
"""Error on other devices, over that without the column, below which a column stays."""
LEAST_ROWS = 10


@dataclass(frozen=True)
class Coefficients:
    """Posterior of the four coefficients, and the standard deviation of clusters."""

    mean: Floats
    covariance: Floats
    cluster_sd: float


def learn_context(
    data: TrainingData, base_log_ms: Floats, compute_share: Floats, rng: np.random.Generator
) -> tuple[ContextEffect | None, Floats]:
    """The effect of context, and by how much it moved each row from its device's typical context.

    `base_log_ms` and `compute_share` are of the designs (C). The second is n log latencies, 0 where
    the rows show that they are better left alone; the first None where nothing was reported.
    """
    columns = [c for c in (*CLOCKS, *LINES) if reported(data, c).any()]
    nothing = np.zeros(len(data))
    if not columns:
        return None, nothing
    clocks = [c for c in columns if c in CLOCKS] or [""]
    sample = sample_rows(data, clocks[0], rng)
    tried = [(c, context_rows(data, sample, c, base_log_ms, compute_share)) for c in clocks]
    column, rows = tried[0]
    if len(tried) > 1:
        errors = [_held_out_error(rows, CLOCK_ONLY, _moved_clock(rows)) for _, rows in tried]
        column, rows = tried[int(np.argmin(errors))]
    known, corrects = _selected(rows, column)
    found = _posterior(rows, known)
    effect = _effect(data, column, known, found)
    moved = _moved_by(data, effect, compute_share) if corrects else nothing
    return effect, moved


def _effect(data: TrainingData, column: str, known: Floats, found: Coefficients) -> ContextEffect:
    unknown = np.full(data.clusters, np.nan)
    typical = low = high = unknown
    reference = 1.0
    if column:
        clock = data.context[column]
        reference = float(np.nanmedian(clock))
        typical = typical_of_clusters(data, clock)
        there = [clock[(data.cluster == k) & (clock > 0)] for k in range(data.clusters)]
        low, high = (
            np.array([f(c) if len(c) else np.nan for c in there]) for f in (np.min, np.max)
        )
    return ContextEffect(
        column, reference, found.mean, found.covariance, known, found.cluster_sd, typical, low, high
    )


def _selected(rows: Rows, column: str) -> tuple[Floats, bool]:
    """Which coefficients stay (4, 0 or 1), and whether rows are corrected for their context."""
    known = CLOCK_ONLY if column else np.zeros(4)
    corrects = False
    if column:
        moved = _moved_clock(rows)
        left_alone = _held_out_error(rows, None, moved)
        corrects = _held_out_error(rows, known, moved) < BETTER * left_alone
    for line in (2, 3):
        moved = np.abs(_centred(rows.lines[:, line - 2], rows.device)) > MOVED_UNITS
        more = known.copy()
        more[line] = 1.0
        if _held_out_error(rows, more, moved) < BETTER * _held_out_error(rows, known, moved):
            known, corrects = more, True
    return known, bool(corrects)


def _moved_clock(rows: Rows) -> Bools:
    """Rows whose clock is not their device's usual one."""
    moved: Bools = np.abs(_centred(rows.log_clock, rows.device)) > MOVED
    return moved


def _held_out_error(rows: Rows, known: Floats | None, moved: Bools) -> float:
    """Mean absolute deviation within devices that were not learned from, in the rows that `moved`;
    infinite where they are too few to tell. None leaves the context out."""
    error = np.zeros(len(rows.log_ms))
    half = rows.device % 2 == 0
    if min((moved & half).sum(), (moved & ~half).sum()) < LEAST_ROWS:
        return float("inf")
    for part in (half, ~half):
        rest = rows.log_ms[part]
        if known is not None:
            rest = rest - _effect_on(rows.at(part), _posterior(rows.at(~part), known).mean)
        error[part] = _centred(rest, rows.device[part])
    return float(np.abs(error[moved]).mean())


def _centred(values: Floats, device: Ints) -> Floats:
    middle = grouped_median(device, values, int(device.max()) + 1)
    result: Floats = values - middle[device]
    return result


def _effect_on(rows: Rows, mean: Floats) -> Floats:
    clock, _ = clock_effect(mean, rows.compute_share, np.exp(rows.log_clock))
    result: Floats = clock + rows.lines @ mean[2:]
    return result


def _posterior(rows: Rows, known: Floats) -> Coefficients:
    """Coefficients of the mixed model, linearised where they are (Gauss-Newton)."""
    prior = np.diag((PRIOR_SD * np.where(known > 0, 1.0, 0.0)) ** 2)
    flat = np.full((len(rows.log_ms),) * 2, FLAT_SD**2)
    alike = _alike(rows)
    mean, covariance = PRIOR_MEAN, prior
    for step in range(LINEAR_STEPS):
        effect, slope = clock_effect(mean, rows.compute_share, np.exp(rows.log_clock))
        design = np.hstack([slope, rows.lines])
        target = rows.log_ms - effect + slope @ mean[:2] - design @ PRIOR_MEAN
        explained = flat + design @ prior @ design.T
        parts = np.concatenate([alike, _noise(rows, mean)[None]])
        if step == 0:
            variances = learn_variances(parts, target, START_SD, explained)
        whole = cho_factor(explained + np.tensordot(variances, parts, axes=1), lower=True)
        cross = prior @ design.T
        mean = PRIOR_MEAN + cross @ cho_solve(whole, target)
        covariance = prior - cross @ cho_solve(whole, cross.T)
    return Coefficients(mean, covariance, float(np.sqrt(variances[0])))


def _alike(rows: Rows) -> Floats:
    """Whether rows share their cluster, device, configuration: 3 x n x n, 0 or 1."""
    keys: Sequence[Ints] = (rows.cluster, rows.device, rows.configuration)
    return np.stack([(k[:, None] == k[None, :]).astype(np.float64) for k in keys])


def _noise(rows: Rows, mean: Floats) -> Floats:
    """Covariance (n x n) of the noise about the effect that is known so far; odd rows count as
    noisier (Huber)."""
    away = np.abs(_centred(rows.log_ms - _effect_on(rows, mean), rows.device))
    spread = max(1.4826 * float(np.median(away)), LEAST_NOISE)
    noise: Floats = np.diag((spread * np.maximum(1.0, away / (2.5 * spread))) ** 2)
    return noise


def _moved_by(data: TrainingData, effect: ContextEffect, compute_share: Floats) -> Floats:
    """Log latency that each row's context cost or saved against its device's median context."""
    share = compute_share[data.configuration]
    result = np.zeros(len(data))
    if effect.column:
        clock = np.where(reported(data, effect.column), data.context[effect.column], np.nan)
        usual = by_device(data, clock)[0][data.device]
        there = np.isfinite(clock)
        now, then = (
            clock_effect(effect.mean, share[there], c[there] / effect.reference)[0]
            for c in (clock, usual)
        )
        result[there] = now - then
    for line, name in enumerate(LINES, start=2):
        if effect.known[line]:
            values = np.where(reported(data, name), data.context[name], np.nan)
            away = (values - by_device(data, values)[0][data.device]) / UNIT
            result += np.nan_to_num(effect.mean[line] * away)
    return result


def without(data: TrainingData, moved: Floats) -> TrainingData:
    """The same rows as they would have been in their device's typical context."""
    return replace(data, drift=data.drift * np.exp(moved)) if moved.any() else data
