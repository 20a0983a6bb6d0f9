from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.surrogate.learning.physics import TERMS, Physics
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData
from hdap.surrogate.validation.cross_validation import cross_validate
from hdap.surrogate.validation.learning_curve import scores_at, thinned


def _mean_error(kind: str, data: TrainingData, rows: int) -> float:
    known = data.at(thinned(data, rows, np.random.default_rng(0)))
    held = cross_validate(SURROGATES[kind], known, folds=3)
    return float(np.abs(np.expm1(held.error)).mean())


def test_resnet50_is_learned_from_50_measurements_a_cluster(
    learned_from: Callable[[str], TrainingData],
) -> None:
    scores = [s for n in range(2) for s in scores_at(FleetModel, learned_from("resnet50"), 50, n)]
    assert np.mean([s.mape for s in scores]) < 0.036
    assert np.mean([s.kendall_tau for s in scores]) > 0.9
    assert 0.83 < np.mean([s.coverage for s in scores]) < 0.97


def test_mobilenet_is_learned_from_50_measurements_a_cluster(
    learned_from: Callable[[str], TrainingData],
) -> None:
    scores = scores_at(FleetModel, learned_from("mobilenetv1_100"), 50, 0)
    assert min(s.mape for s in scores) < 0.04
    assert np.mean([s.mape for s in scores]) < 1.6 * np.mean([s.noise_floor for s in scores])


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
@pytest.mark.parametrize("rows", [20, 120])
def test_ours_beats_the_roofline(
    learned_from: Callable[[str], TrainingData], model: str, rows: int
) -> None:
    data = learned_from(model)
    ours = _mean_error("fleet", data, rows)
    assert ours < 0.85 * _mean_error("roofline", data, rows)


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_ours_needs_no_more_than_half_the_error_of_hdap(
    learned_from: Callable[[str], TrainingData], model: str
) -> None:
    data = learned_from(model)
    assert _mean_error("fleet", data, 50) < 0.5 * _mean_error("hdap-gbrt", data, 50)


def test_a_noise_free_fleet_is_learned_to_a_percent(
    architecture: Callable[[str], Architecture], learned_from: Callable[[str], TrainingData]
) -> None:
    data = _simulated(learned_from("resnet50"))
    unseen = _random_counts(architecture("resnet50"), 200, seed=9)
    predicted = FleetModel.fit(data).predict(unseen)
    error = np.abs(predicted.ms / np.exp(_truth(architecture("resnet50"), unseen)) - 1.0)
    assert error.mean() < 0.01


def test_a_cluster_with_few_rows_borrows_strength(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from("resnet50")
    rng = np.random.default_rng(0)
    held = np.isin(data.configuration, rng.permutation(len(data.designs))[:60]) & ~data.dense
    mine = data.cluster == 3
    few = np.flatnonzero(mine & ~data.dense & ~held)[:16]
    known = data.at(np.union1d(np.flatnonzero((~mine | data.dense) & ~held), few))
    alone = data.at(np.union1d(np.flatnonzero(mine & data.dense), few))
    target = data.at(held & mine).cells

    def error(learned: TrainingData) -> float:
        log_ms = FleetModel.fit(learned).predict(target.counts).log_ms[:, 3]
        return float(np.abs(np.expm1(log_ms - target.log_ms)).mean())

    assert error(known) < 0.045
    assert error(known) < 0.9 * error(alone)


def test_fewer_measurements_mean_wider_intervals(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from("resnet50")
    few = FleetModel.fit(data.at(thinned(data, 10, np.random.default_rng(0))))
    many = FleetModel.fit(data)
    counts = _random_counts(data.architecture, 200, seed=4)
    model_error = [
        np.median(np.sqrt(m.predict(counts).log_sd ** 2 - m.parameters.noise_sd**2))
        for m in (few, many)
    ]
    assert model_error[0] > 1.3 * model_error[1]


def test_one_odd_row_moves_little(learned_from: Callable[[str], TrainingData]) -> None:
    data = learned_from("mobilenetv1_100")
    row = np.flatnonzero(~data.dense)[17]
    latency = data.latency_ms.copy()
    latency[row] *= 20.0
    counts = _random_counts(data.architecture, 100, seed=2)
    plain = FleetModel.fit(data).predict(counts).log_ms
    odd = FleetModel.fit(replace(data, latency_ms=latency)).predict(counts).log_ms
    assert np.abs(odd - plain).max() < 0.05


def test_more_cells_than_are_learned_from_keep_small_clusters_whole(
    monkeypatch: pytest.MonkeyPatch, learned_from: Callable[[str], TrainingData]
) -> None:
    monkeypatch.setattr("hdap.surrogate.models.fleet_model.MAX_CELLS", 120)
    data = learned_from("resnet50")
    small = data.at((data.cluster != 2) | data.dense | (data.configuration % 16 == 0))
    scores = scores_at(FleetModel, small, 10_000, 0)
    assert np.nanmean([s.mape for s in scores]) < 0.05


def test_measurements_show_the_staircase_of_16(
    learned_from: Callable[[str], TrainingData],
) -> None:
    for model in ("resnet50", "mobilenetv1_100"):
        surrogate = FleetModel.fit(learned_from(model))
        assert surrogate.step == 16


def _random_counts(architecture: Architecture, rows: int, seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    low = architecture.widths // 3
    return rng.integers(low, architecture.widths + 1, (rows, len(low)))


def _truth(architecture: Architecture, counts: Counts) -> np.ndarray:
    """Log ms on four clusters: compute in blocks of 16, slow odd inputs, and memory that three
    clusters pay more and more for."""
    totals = Physics(architecture).terms(counts).totals().reshape(len(counts), -1, len(TERMS))
    compute = totals[:, :, TERMS.index("macs@16")].sum(axis=1)
    odd = totals[:, :, TERMS.index("unaligned@4")].sum(axis=1)
    moved = totals[:, :, TERMS.index("written")].sum(axis=1)
    memory = np.array([0.1, 0.2, 0.3, 0.6])
    computing = np.log(20 * compute + 15 * odd)
    result: np.ndarray = computing[:, None] + np.log1p(memory * (moved / compute)[:, None])
    return result


def _simulated(data: TrainingData) -> TrainingData:
    log_ms = _truth(data.architecture, data.designs)[data.configuration, data.cluster]
    ones = np.ones(len(data))
    return replace(data, latency_ms=np.exp(log_ms), device_factor=ones, drift=ones)


def test_doubt_is_as_large_as_fits_to_parts_of_the_measurements_disagree(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from("resnet50")
    few = data.at(thinned(data, 20, np.random.default_rng(0)))
    rng = np.random.default_rng(1)
    counts = rng.integers(few.architecture.widths // 8, few.architecture.widths, size=(200, 37))
    part = rng.integers(0, 4, len(few.designs))
    parts = [FleetModel.fit(few.at(few.dense | (part[few.configuration] != i))) for i in range(4)]
    log_ms = np.stack([one.predict(counts).log_ms for one in parts])
    disagreement = np.sqrt(3 / 4 * ((log_ms - log_ms.mean(axis=0)) ** 2).sum(axis=0))
    whole = FleetModel.fit(few)
    known = whole.parameters.noise_sd
    doubt = np.sqrt(whole.predict(counts).log_sd ** 2 - known**2)
    assert 0.6 < doubt.mean() / disagreement.mean() < 1.6
