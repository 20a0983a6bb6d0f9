from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks.fleet.measured_fleets import read_fleet
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Measurements
from hdap.surrogate.models.base import Z90, Prediction
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.roofline import Roofline
from hdap.surrogate.training_data.training_cells import Cells, TrainingData, training_data
from hdap.surrogate.validation.cross_validation import (
    HeldOut,
    Score,
    calibration,
    cross_validate,
    device_errors,
    noise_floor,
    score,
)
from hdap.surrogate.validation.learning_curve import thinned


@pytest.fixture
def data(learned_from: Callable[[str], TrainingData]) -> TrainingData:
    return learned_from("mobilenetv1_100")


def test_a_configuration_is_never_on_both_sides(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[tuple[int, ...]]] = []
    asked: list[set[tuple[int, ...]]] = []
    fit, predict = Roofline.fit.__func__, Roofline.predict  # type: ignore[attr-defined]

    def spying_fit(cls: type[Roofline], known: TrainingData, seed: int = 0) -> Roofline:
        seen.append({tuple(row) for row in known.counts[~known.dense]})
        fitted: Roofline = fit(cls, known, seed)
        return fitted

    def spying_predict(self: Roofline, counts: Counts) -> Prediction:
        asked.append({tuple(row) for row in counts})
        return predict(self, counts)

    monkeypatch.setattr(Roofline, "fit", classmethod(spying_fit))
    monkeypatch.setattr(Roofline, "predict", spying_predict)
    held = cross_validate(Roofline, data)
    assert len(seen) == len(asked) == 5
    assert all(not left & right for left, right in zip(seen, asked, strict=True))
    assert set.union(*asked) == {tuple(row) for row in data.counts[~data.dense]}
    for configuration in np.unique(held.cells.configuration):
        assert len(set(held.fold[held.cells.configuration == configuration])) == 1


def test_folds_repeat_for_a_seed_and_change_with_it(data: TrainingData) -> None:
    first, again, other = (cross_validate(Roofline, data, seed=s) for s in (1, 1, 2))
    assert (first.predicted_log_ms == again.predicted_log_ms).all()
    assert (first.fold != other.fold).any()


def test_figures_by_hand(data: TrainingData) -> None:
    held = _held(data, log_error=np.log(1.1), log_sd=1.0)
    for s in score(held, data, calibrated=True):
        assert s.mape == pytest.approx(0.1)
        assert s.kendall_tau == pytest.approx(1.0)
        assert s.coverage == 1.0
        assert 0.01 < s.noise_floor < 0.1


def test_calibration_makes_intervals_hold_what_they_promise(data: TrainingData) -> None:
    rng = np.random.default_rng(0)
    held = _held(data, log_error=rng.normal(0.0, 0.06, len(_pruned(data))), log_sd=0.02)
    factors = calibration(held, data.clusters)
    assert factors == pytest.approx(np.full(4, 3.0), rel=0.25)
    inside = np.abs(held.error) < Z90 * held.predicted_log_sd * factors[held.cells.cluster]
    assert inside.mean() == pytest.approx(0.9, abs=0.03)
    assert np.mean([s.coverage for s in score(held, data)]) == pytest.approx(0.9, abs=0.04)


def test_a_cluster_without_cells_has_no_figures_and_the_fleets_calibration(
    data: TrainingData,
) -> None:
    without = data.at(data.dense | (data.cluster != 1))
    held = cross_validate(Roofline, without)
    figures = score(held, without)[1]
    assert figures.cells == 0
    assert np.isnan([figures.mape, figures.kendall_tau, figures.coverage]).all()
    assert np.isfinite(calibration(held, 4)).all()


def test_too_few_configurations_to_validate_are_refused(data: TrainingData) -> None:
    with pytest.raises(NotEnoughDataError, match="at least 5 pruned configurations, but got 0"):
        cross_validate(Roofline, data.at(data.dense))


def test_the_noise_floor_is_that_of_known_noise(data: TrainingData) -> None:
    rng = np.random.default_rng(5)
    noisy = data.at(np.repeat(np.arange(len(data)), 3))
    noisy = replace(
        noisy,
        latency_ms=np.exp(rng.normal(3.0, 0.05, len(noisy))),
        device_factor=np.ones(len(noisy)),
        drift=np.ones(len(noisy)),
    )
    cells = noisy.at(~noisy.dense).cells
    measured = [
        float(np.abs(np.expm1(3.0 - cells.log_ms[cells.cluster == k])).mean()) for k in range(4)
    ]
    assert noise_floor(noisy, cells) == pytest.approx(tuple(measured), rel=0.25)


def test_thinning_takes_new_configurations_before_repeats(data: TrainingData) -> None:
    kept = data.at(thinned(data, 50, np.random.default_rng(0)))
    assert kept.dense.sum() == data.dense.sum()
    for number in range(4):
        mine = kept.configuration[(kept.cluster == number) & ~kept.dense]
        assert len(mine) == len(set(mine)) == 50


def _pruned(data: TrainingData) -> Cells:
    return data.at(~data.dense).cells


def _held(data: TrainingData, log_error: np.ndarray | float, log_sd: float) -> HeldOut:
    cells = _pruned(data)
    return HeldOut(
        cells,
        np.arange(len(cells)) % 5,
        cells.log_ms + log_error,
        np.full(len(cells), log_sd),
    )


def test_single_devices_show_a_mixture_that_their_cluster_hides(
    architecture: Callable[[str], Architecture],
) -> None:
    rows, kinds = read_fleet("rollout")
    now = datetime(2026, 11, 28, tzinfo=UTC)

    def scores(seen: Measurements) -> tuple[Score, ...]:
        clustering = cluster(seen, resamples=0, created_at=now, measurement_mark=0)
        data = training_data(architecture("resnet50"), rows, clustering)
        return score(cross_validate(FleetModel, data), data)

    # Dense rows alone put ONNX Runtime and OpenVINO into one cluster, which seems as good as ever.
    apart, mixed = scores(rows), scores(rows.at(rows.dense))
    assert [len(apart), len(mixed)] == [4, 3]
    (mixture,) = [s for s in mixed if s.devices == 11]
    pure = [s for s in (*apart, *mixed) if s.devices != 11]
    assert mixture.mape < max(s.mape for s in pure)
    assert mixture.device_error > 1.4 * mixture.mape
    assert all(s.device_error < 1.15 * s.mape for s in pure)
    assert mixture.worst_error >= mixture.device_error
    kind = dict(zip(rows.devices.ids, kinds, strict=True))
    assert kind[mixture.worst_device] in ("ort", "ov")


def test_a_device_is_judged_by_its_own_rows(data: TrainingData) -> None:
    held = cross_validate(FleetModel, data)
    sick = int(data.device[~data.dense][0])
    odd = np.random.default_rng(0).choice([0.7, 1.4], len(data))
    latency = np.where((data.device == sick) & ~data.dense, data.latency_ms * odd, data.latency_ms)
    errors = device_errors(held, replace(data, latency_ms=latency))
    assert errors.worst[0] == data.device_ids[sick]
    assert errors.worst[1] > 0.2
    assert errors.typical == pytest.approx(device_errors(held, data).typical, rel=0.2)
