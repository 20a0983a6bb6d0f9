from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import BundleNetwork, MeasuringBundle
from hdap.simulation.bundles import answer_bundle
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.workload import counts_of, random_counts, true_latency

SOME = ("sim-004", "sim-011", "sim-050")


def _write(folder: Path, architecture: Architecture, texts: Sequence[str]) -> Path:
    networks = tuple(
        BundleNetwork(f"{i}.onnx", "0" * 64, 1, text, "candidate", 1, 1)
        for i, text in enumerate(texts)
    )
    shape = (1, *architecture.input_shape)
    content = MeasuringBundle(
        "b7", architecture.model, architecture.digest, shape, "generated", 18, {}, {}, (), networks
    )
    write_document(folder / "manifest.json", content)
    return folder / "manifest.json"


@pytest.fixture
def manifest(tmp_path: Path, mobilenet: Architecture) -> Path:
    texts = format_channels(mobilenet, random_counts(mobilenet, 10, np.random.default_rng(3)))
    return _write(tmp_path, mobilenet, ["", *texts])


def test_every_device_measures_everything_once_a_round_in_an_order_of_its_own(
    manifest: Path, mobilenet: Architecture, cameras: SimulatedFleet
) -> None:
    answer = answer_bundle(manifest, mobilenet, cameras.find(SOME), rounds=2)
    assert answer.rows["device_id"].unique().sort().to_list() == list(SOME)
    assert answer.configurations == 11
    orders = set()
    for rows in answer.rows.partition_by("device_id"):
        assert len(rows) == 22
        for turn in rows.partition_by("round"):
            assert turn["channels"].n_unique() == 11
            assert turn["role"].to_list() == ["reference"] + ["candidate"] * 10
            orders.add(tuple(turn["channels"]))
        assert rows["timestamp"].is_sorted()
    assert len(orders) == 6


def test_answers_say_that_they_are_simulated_and_of_which_bundle(
    manifest: Path, mobilenet: Architecture, cameras: SimulatedFleet
) -> None:
    answer = answer_bundle(manifest, mobilenet, cameras.find(SOME))
    for column, value in (("simulated", "true"), ("runtime", "simulated"), ("bundle", "b7")):
        assert answer.rows[column].unique().to_list() == [value]
    assert answer.rows.columns[-1] == "simulated"
    assert answer.simulated
    assert str(answer).startswith("Simulated, not measured")


def test_ratios_to_the_reference_are_nearer_to_the_truth_than_raw_latencies(
    manifest: Path, mobilenet: Architecture
) -> None:
    fleet = draw_fleet(preset("phones", 40, seed=5))
    rows = answer_bundle(manifest, mobilenet, fleet, rounds=3).rows
    texts = rows["channels"].unique(maintain_order=True).to_list()
    truth = true_latency(fleet, mobilenet, counts_of(mobilenet, texts))
    at = {text: i for i, text in enumerate(texts)}
    config = np.array([at[text] for text in rows["channels"]])
    device = np.repeat(np.arange(40), len(rows) // 40)
    dense = truth[at[""]][device]
    expected = truth[config, device] / dense
    corrected = np.abs(rows["relative_latency"].to_numpy() / expected - 1)
    raw = np.abs(rows["latency_raw_ms"].to_numpy() / dense / expected - 1)
    assert np.median(corrected) < 0.02
    assert np.median(corrected) < 0.6 * np.median(raw)
    assert (rows["latency_p95_ms"] >= rows["latency_ms"]).all()


def test_a_device_heats_up_and_slows_down_while_it_measures(
    manifest: Path, mobilenet: Architecture
) -> None:
    fleet = draw_fleet(preset("phones", 200, seed=1))
    rows = answer_bundle(manifest, mobilenet, fleet, rounds=10).rows
    warmth = rows.group_by("round").agg(pl.col("temperature_c").median()).sort("round")
    assert warmth["temperature_c"][-1] > warmth["temperature_c"][0] + 3
    references = rows.filter(pl.col("role") == "reference")
    slow = references.group_by("round").agg(pl.col("reference_ms").median()).sort("round")
    assert slow["reference_ms"][-1] > 1.02 * slow["reference_ms"][0]


def test_the_seed_decides_the_answer(
    manifest: Path, mobilenet: Architecture, cameras: SimulatedFleet
) -> None:
    fleet = cameras.find(SOME)
    one, same, other = (
        answer_bundle(manifest, mobilenet, fleet, seed=seed).rows for seed in (1, 1, 2)
    )
    assert one.equals(same)
    assert not one.equals(other)


def test_a_bundle_of_the_dense_model_alone_is_answered(
    tmp_path: Path, mobilenet: Architecture, cameras: SimulatedFleet
) -> None:
    path = _write(tmp_path, mobilenet, [""])
    answer = answer_bundle(path, mobilenet, cameras.find(SOME), rounds=2)
    assert len(answer.rows) == 6
    assert answer.rows["role"].unique().to_list() == ["reference"]


@pytest.mark.parametrize("text", ["", "[]", '{"model": "mobilenetv1_100"}', '{"files": [3]}'])
def test_what_is_no_manifest_is_refused(
    text: str, tmp_path: Path, mobilenet: Architecture, cameras: SimulatedFleet
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match="hdap plan"):
        answer_bundle(path, mobilenet, cameras)


def test_a_bundle_of_another_model_and_zero_rounds_are_refused(
    manifest: Path, resnet: Architecture, mobilenet: Architecture, cameras: SimulatedFleet
) -> None:
    with pytest.raises(InputError, match="mobilenetv1_100"):
        answer_bundle(manifest, resnet, cameras)
    with pytest.raises(InputError, match="rounds=0"):
        answer_bundle(manifest, mobilenet, cameras, rounds=0)
