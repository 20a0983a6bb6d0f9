from collections.abc import Callable

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.surrogate.models.base import FleetSurrogate, pack
from hdap.surrogate.models.registry import BASE_LINES, SURROGATES, load_surrogate
from hdap.surrogate.training_data.training_cells import TrainingData

MODEL = "mobilenetv1_100"


@pytest.fixture(scope="module", params=sorted(SURROGATES))
def fitted(
    request: pytest.FixtureRequest, learned_from: Callable[[str], TrainingData]
) -> FleetSurrogate:
    return SURROGATES[request.param].fit(learned_from(MODEL), seed=3)


@pytest.fixture(scope="module")
def some_counts(architecture: Callable[[str], Architecture]) -> Counts:
    widths = architecture(MODEL).widths
    return np.random.default_rng(1).integers(1, widths + 1, (257, len(widths)))


def test_registry_is_keyed_by_kind_and_holds_the_base_lines() -> None:
    assert all(name == cls.kind for name, cls in SURROGATES.items())
    assert set(BASE_LINES) < set(SURROGATES)


def test_predictions_are_finite_one_column_a_cluster(
    fitted: FleetSurrogate, some_counts: Counts
) -> None:
    prediction = fitted.predict(some_counts)
    assert prediction.log_ms.shape == prediction.log_sd.shape == (257, 4)
    assert np.isfinite(prediction.log_ms).all()
    assert (prediction.log_sd > 0).all()
    assert (prediction.low_ms < prediction.ms).all()
    assert (prediction.ms < prediction.high_ms).all()


def test_predictions_do_not_depend_on_the_batch(
    fitted: FleetSurrogate, some_counts: Counts
) -> None:
    whole, alone = fitted.predict(some_counts), fitted.predict(some_counts[100:101])
    np.testing.assert_allclose(alone.log_ms[0], whole.log_ms[100], rtol=1e-9)
    np.testing.assert_allclose(alone.log_sd[0], whole.log_sd[100], rtol=1e-4)


def test_no_configurations_give_no_predictions(fitted: FleetSurrogate, some_counts: Counts) -> None:
    assert fitted.predict(some_counts[:0]).ms.shape == (0, 4)


def test_a_seed_in_gives_the_same_result_out(
    fitted: FleetSurrogate, some_counts: Counts, learned_from: Callable[[str], TrainingData]
) -> None:
    again = type(fitted).fit(learned_from(MODEL), seed=3)
    assert again.payloads() == fitted.payloads()
    assert (again.predict(some_counts).log_sd == fitted.predict(some_counts).log_sd).all()


def test_payloads_restore_an_identical_surrogate(
    fitted: FleetSurrogate, some_counts: Counts
) -> None:
    restored = load_surrogate(fitted.kind, fitted.architecture, fitted.payloads())
    assert (restored.predict(some_counts).log_ms == fitted.predict(some_counts).log_ms).all()
    assert (restored.predict(some_counts).log_sd == fitted.predict(some_counts).log_sd).all()
    assert (restored.steps, restored.step) == (fitted.steps, fitted.step)


def test_calibration_scales_intervals_only(fitted: FleetSurrogate, some_counts: Counts) -> None:
    wider = fitted.calibrated(np.array([1.0, 2.0, 3.0, 0.5])).predict(some_counts)
    plain = fitted.predict(some_counts)
    assert (wider.log_ms == plain.log_ms).all()
    expected = np.tile([1.0, 2.0, 3.0, 0.5], (len(some_counts), 1))
    np.testing.assert_allclose(wider.log_sd / plain.log_sd, expected, rtol=1e-9)


def test_uncertainty_grows_away_from_what_was_measured(
    fitted: FleetSurrogate, learned_from: Callable[[str], TrainingData]
) -> None:
    data = learned_from(MODEL)
    measured = fitted.predict(data.designs[~(data.designs == data.architecture.widths).all(axis=1)])
    far = np.tile(data.architecture.widths, (2, 1))
    far[0, 1::2] = 1
    far[1, ::2] = 1
    assert (fitted.predict(far).log_sd.min(axis=0) > np.median(measured.log_sd, axis=0)).all()


def test_wrong_shapes_and_counts_are_refused(fitted: FleetSurrogate, some_counts: Counts) -> None:
    with pytest.raises(InputError, match="14 width groups"):
        fitted.predict(some_counts[:, :-1])
    with pytest.raises(InputError, match="14 width groups"):
        fitted.predict(some_counts[0])
    with pytest.raises(InputError, match="at least 1"):
        fitted.predict(some_counts * 0)


def test_damaged_and_foreign_payloads_are_refused(fitted: FleetSurrogate) -> None:
    payload = fitted.payloads()[0]
    for bad in (b"", b"no archive", payload[:200], pack("other", {"x": 1}), pack(fitted.kind, {})):
        with pytest.raises(InputError, match="hdap fit"):
            type(fitted).from_payloads(fitted.architecture, (bad,))


def test_too_few_configurations_are_refused_with_the_remedy(
    fitted: FleetSurrogate, learned_from: Callable[[str], TrainingData]
) -> None:
    data = learned_from(MODEL)
    few = np.unique(data.configuration[~data.dense])[:5]
    with pytest.raises(NotEnoughDataError, match=r"but got 5 .*measure 3 or more: hdap plan"):
        type(fitted).fit(data.at(data.dense | np.isin(data.configuration, few)))


def test_a_cluster_without_pruned_rows_follows_the_fleet_at_its_own_level(
    fitted: FleetSurrogate, learned_from: Callable[[str], TrainingData]
) -> None:
    data = learned_from(MODEL)
    held = (data.cluster == 2) & ~data.dense
    prediction = type(fitted).fit(data.at(~held)).predict(data.counts[held])
    ratio = prediction.ms[:, 2] / np.exp(data.log_ms[held])
    assert np.median(ratio) == pytest.approx(1.0, abs=0.12)


def test_a_cluster_without_any_row_follows_the_clustering(
    fitted: FleetSurrogate, learned_from: Callable[[str], TrainingData]
) -> None:
    data = learned_from(MODEL)
    held = data.cluster == 2
    prediction = type(fitted).fit(data.at(~held)).predict(data.counts[held])
    ratio = prediction.ms[:, 2] / np.exp(data.log_ms[held])
    assert np.median(ratio) == pytest.approx(1.0, abs=0.25)


def test_an_unknown_kind_names_the_known_ones(
    architecture: Callable[[str], Architecture],
) -> None:
    with pytest.raises(InputError, match="fleet, roofline, hdap-gbrt"):
        load_surrogate("oracle", architecture(MODEL), (b"",))
