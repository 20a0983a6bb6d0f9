"""One surrogate for each runtime and precision: what may teach what, and that it is said."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from benchmarks.fleet.measured_fleets import read_fleet, traced, with_software
from hdap.clustering.cluster_fleet import cluster
from hdap.search.exact.relaxation import AdditiveLatency
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.registry import load_surrogate
from hdap.surrogate.models.roofline import Roofline
from hdap.surrogate.models.state_surrogates import AdditiveStates, Part, StateSurrogates
from hdap.surrogate.training_data.training_cells import ROW_COLUMNS, TrainingData, training_data
from hdap.surrogate.validation.choose_by_state import POOLED, choose_by_state, fit_chosen

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@lru_cache
def rollout() -> TrainingData:
    """Measured rows of four states: OpenVINO bfloat16 and float32, ONNX Runtime, ncnn."""
    rows, kinds = read_fleet("rollout")
    told = with_software(rows, kinds)
    record = cluster(told, created_at=NOW, measurement_mark=0, resamples=0)
    return training_data(traced("resnet50"), told, record)


@pytest.fixture
def networks() -> np.ndarray:
    widths = rollout().architecture.widths
    shares = np.random.default_rng(1).uniform(0.3, 1.0, (40, len(widths)))
    return np.maximum((shares * widths).astype(np.int64), 1)


def test_clusters_say_which_runtime_and_precision_they_are_of() -> None:
    assert rollout().states == (
        "openvino bfloat16",
        "openvino float32",
        "onnxruntime float32",
        "ncnn float32",
    )


def test_what_one_runtime_measured_never_teaches_another_unless_it_says_so() -> None:
    data = rollout()
    other = data.cluster == 2
    # ONNX Runtime's pruned rows as if they had been ten times slower.
    spoiled = replace(data, latency_ms=np.where(other & ~data.dense, 10.0, 1.0) * data.latency_ms)
    networks = data.designs[1:20]
    before = StateSurrogates.fit(data, 0).predict(networks).log_ms
    after = StateSurrogates.fit(spoiled, 0).predict(networks).log_ms
    alone = [0, 1, 3]
    np.testing.assert_array_equal(after[:, alone], before[:, alone])
    assert np.median(after[:, 2] - before[:, 2]) > 1.0


def test_a_state_borrows_where_that_is_proven_and_says_from_whom() -> None:
    data = rollout()
    # OpenVINO in bfloat16 as if it were ncnn at half the time, with but 12 networks measured.
    mine, like = data.cluster == 0, np.flatnonzero(data.cluster == 3)
    twin = data.at(like)
    twin = replace(twin, cluster=np.zeros(len(twin), int), latency_ms=twin.latency_ms / 2)
    few = np.unique(twin.configuration[~twin.dense])[:12]
    twin = twin.at(twin.dense | np.isin(twin.configuration, few))
    rest = data.at(np.isin(data.cluster, (1, 2, 3)))
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(twin, name), getattr(rest, name)]) for name in ROW_COLUMNS
    }
    joined = replace(rest, **columns)
    assert mine.any()
    (choice, *_) = choose_by_state(joined).states
    assert choice.kind == POOLED
    assert choice.errors[POOLED] < choice.errors["fleet"]
    assert choice.words.startswith(
        "openvino bfloat16: openvino float32 and onnxruntime float32 and ncnn float32 teaches it"
    )


def test_what_was_never_measured_borrows_and_says_that_nothing_proves_it() -> None:
    data = rollout()
    chosen = choose_by_state(data.at(data.dense | (data.cluster != 3)))
    choice = chosen.states[3]
    assert (choice.kind, choice.configurations) == (POOLED, 0)
    assert "no pruned network was measured" in choice.words
    assert "unproven" in choice.words
    assert all(s.configurations == 48 for s in chosen.states[:3])


def test_the_whole_predicts_what_its_parts_do_and_is_stored(networks: np.ndarray) -> None:
    data = rollout()
    chosen = choose_by_state(data)
    found = fit_chosen(data, chosen)
    assert isinstance(found, AdditiveStates)
    own = FleetModel.fit(data.of_clusters((2,))).predict(networks)
    np.testing.assert_allclose(found.predict(networks).log_ms[:, 2], own.log_ms[:, 0])
    found = found.calibrated(np.array([1.0, 2.0, 3.0, 4.0]))
    again = load_surrogate("fleet", data.architecture, found.payloads())
    assert type(again) is type(found)
    assert again.steps == found.steps
    assert again.step == found.step
    np.testing.assert_array_equal(again.predict(networks).log_sd, found.predict(networks).log_sd)


def test_tangents_of_the_parts_add_up_to_one_of_the_whole(networks: np.ndarray) -> None:
    data = rollout()
    found = fit_chosen(data, choose_by_state(data))
    assert isinstance(found, AdditiveStates)
    assert isinstance(found, AdditiveLatency)
    shares, risk = np.array([0.4, 0.1, 0.3, 0.2]), 1.0
    said = found.predict(networks)
    objective = np.exp(said.log_ms + risk * said.log_sd) @ shares
    for at in (0, 7):
        prices = found.tangent(found.priced(networks[at : at + 1])[1][0], shares, risk)
        terms = found.physics.terms(networks).values
        line = np.einsum("tl,tnl->n", prices, terms)
        assert (line <= objective * (1 + 1e-5)).all()
        np.testing.assert_allclose(line[at], objective[at], rtol=1e-4)


def test_parts_of_several_kinds_have_no_tangents_but_all_else(networks: np.ndarray) -> None:
    data = rollout()
    parts = (
        Part(FleetModel.fit(data.of_clusters((0, 1))), (0, 1)),
        Part(Roofline.fit(data.of_clusters((2, 3))), (2, 3)),
    )
    found = StateSurrogates(data.architecture, parts, 16)
    again = load_surrogate("fleet", data.architecture, found.payloads())
    assert type(again) is StateSurrogates
    assert not isinstance(again, AdditiveLatency)
    np.testing.assert_array_equal(again.predict(networks).log_ms, found.predict(networks).log_ms)
    assert (found.ratio_sd(networks[0], networks[1]) > 0).all()
