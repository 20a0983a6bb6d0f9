import copy
import csv
import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import flops
from hdap.fleet_data.documents import read_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.networks.generated_weights import without_zeros
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import PlannedConfiguration, run_measure, write_bundle

Small = tuple[nn.Module, Architecture]
Plan = list[PlannedConfiguration]


def _shapes(path: Path) -> dict[str, list[int]]:
    model = onnx.load(path, load_external_data=False)
    return {t.name: list(t.dims) for t in model.graph.initializer}


def test_the_manifest_says_what_is_there(written_bundle: Path, small_model: Small) -> None:
    manifest = json.loads((written_bundle / "manifest.json").read_text())
    architecture = small_model[1]
    assert manifest["model"] == "small"
    assert manifest["input_shape"] == [1, 3, 64, 64]
    assert [e["role"] for e in manifest["configurations"]] == ["reference", "candidate", "anchor"]
    for entry in [*manifest["configurations"], *manifest["shared"]]:
        data = (written_bundle / entry["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        assert len(data) == entry["bytes"]
    for entry in manifest["configurations"]:
        counts = architecture.widths.copy()
        for part in filter(None, entry["channels"].split(";")):
            name, count = part.split("=")
            counts[architecture.index[name]] = int(count)
        assert entry["flops"] == flops(architecture, counts[None])[0]
    named = {e["file"] for e in [*manifest["configurations"], *manifest["shared"]]}
    assert {p.name for p in written_bundle.iterdir()} - named == {
        "manifest.json",
        "measure.pyz",
        "README.txt",
    }
    assert "measure.pyz --device-id DEVICE\n" in (written_bundle / "README.txt").read_text()


def test_the_readme_has_the_command_of_each_device(
    small_model: Small, small_plan: Plan, tmp_path: Path
) -> None:
    asked = ("cam-07", "hall 2")
    folder = write_bundle(tmp_path / "b", small_model[1], small_model[0], [], devices=asked).folder
    lines = (folder / "README.txt").read_text().splitlines()
    commands = [line.split() for line in lines if line.startswith("  python3 measure.pyz")]
    assert [shlex.split(" ".join(words))[-1] for words in commands] == list(asked)


def test_own_weights_give_the_outputs_of_the_pruned_network(
    small_model: Small, small_plan: Plan, tmp_path: Path
) -> None:
    module, architecture = small_model
    report = write_bundle(tmp_path / "own", architecture, module, small_plan[:1], weights="own")
    assert report.networks == 2
    image = torch.randn(1, *architecture.input_shape, generator=torch.Generator().manual_seed(0))
    pruned = prune(module, architecture, np.array(small_plan[0].counts)).eval()
    session = onnxruntime.InferenceSession(report.folder / "0001.onnx")
    (found,) = session.run(None, {"input": image.numpy()})
    with torch.no_grad():
        expected = pruned(image).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_generated_weights_change_nothing_but_numbers(
    small_model: Small, small_plan: Plan, written_bundle: Path, tmp_path: Path
) -> None:
    module, architecture = small_model
    trained = without_zeros(copy.deepcopy(module))
    own = write_bundle(tmp_path / "own", architecture, trained, small_plan[:1], weights="own")
    for name in ("0000.onnx", "0001.onnx"):
        assert _shapes(own.folder / name) == _shapes(written_bundle / name)
        graphs = [
            onnx.load(f / name, load_external_data=False).graph
            for f in (own.folder, written_bundle)
        ]
        assert [n.op_type for n in graphs[0].node] == [n.op_type for n in graphs[1].node]
    networks = [p.stat().st_size for p in written_bundle.glob("*.onnx")]
    assert max(networks) < (own.folder / "0000.onnx").stat().st_size / 5


def test_generated_weights_keep_signals_finite_and_normal(written_bundle: Path) -> None:
    for path in sorted(written_bundle.glob("*.onnx")):
        session = onnxruntime.InferenceSession(path)
        image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
        (output,) = session.run(None, {"input": image})
        assert np.isfinite(output).all()
        assert 1e-20 < np.abs(output).max() < 1e20


def test_the_same_plan_gives_the_same_bundle(
    small_model: Small, small_plan: Plan, written_bundle: Path, tmp_path: Path
) -> None:
    module, architecture = small_model
    seen: list[tuple[int, int]] = []
    report = write_bundle(
        tmp_path / "again",
        architecture,
        module,
        [*small_plan, small_plan[0]],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert report.bundle == json.loads((written_bundle / "manifest.json").read_text())["bundle"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert report.size == sum(p.stat().st_size for p in (tmp_path / "again").iterdir())


def test_a_folder_with_something_in_it_is_left_alone(
    small_model: Small, small_plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="must not exist or be empty"):
        write_bundle(tmp_path, small_model[1], small_model[0], small_plan)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_bundle_that_fails_leaves_nothing(
    small_model: Small, small_plan: Plan, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "b", small_model[1], small_model[0], small_plan, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_another_network_is_refused(small_model: Small, tmp_path: Path) -> None:
    module, architecture = small_model
    with pytest.raises(InputError, match="one column for each"):
        write_bundle(tmp_path / "b", architecture, module, [PlannedConfiguration((8, 8))])
    thin = tuple(np.full_like(architecture.widths, 8).tolist())
    with pytest.raises(InputError, match="reference must be dense"):
        write_bundle(
            tmp_path / "b", architecture, module, [PlannedConfiguration(thin, "reference")]
        )


def test_groups_that_stay_dense_are_left_out_of_the_text(small_model: Small) -> None:
    architecture = small_model[1]
    counts = architecture.widths[None].copy()
    assert format_channels(architecture, counts) == [""]
    counts[0, 1] -= 1
    group = architecture.groups[1]
    assert format_channels(architecture, counts) == [f"{group.name}={group.width - 1}"]


def test_a_network_of_sound_is_measured(tmp_path: Path) -> None:
    network = nn.Sequential(
        *(nn.Conv1d(1, 16, 9, stride=4), nn.ReLU()),
        *(nn.Conv1d(16, 16, 9), nn.ReLU()),
        nn.Conv1d(16, 2, 1),
    )
    architecture = trace(network.eval(), name="sound", input_shape=(1, 4000))
    folder = write_bundle(
        tmp_path / "b", architecture, network, [PlannedConfiguration((8, 4))]
    ).folder
    manifest = read_document(folder / "manifest.json", MeasuringBundle)
    assert manifest.input_shape == (1, 1, 4000)
    quick = ("--runs", "5", "--min-seconds", "0.05", "--threshold", "1000", "--device-id", "d")
    assert run_measure(folder, quick) == 0
    text = (folder / "measured-d.csv").read_text()
    assert text.count("sound") >= 2


def test_a_bundle_measures_in_the_batches_asked_for(small_model: Small, tmp_path: Path) -> None:
    network, architecture = small_model
    folder = write_bundle(tmp_path / "b", architecture, network, [], batch_size=4).folder
    quick = ("--runs", "5", "--min-seconds", "0.05", "--threshold", "1000", "--device-id", "d")
    assert run_measure(folder, quick) == 0
    (row,) = csv.DictReader((folder / "measured-d.csv").read_text().splitlines())
    assert row["batch_size"] == "4"
    assert float(row["latency_ms"]) > 0
