import json
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from typer.testing import Result

import hdap as package

Hdap = Callable[..., Result]
CODE = """
import torch
from torch import nn

def images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(40, 3, 16, 16, generator=generator)
    return torch.utils.data.TensorDataset(pixels, torch.arange(40) % 5)

def small():
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 5),
    )
    network.input_shape = (3, 16, 16)
    return network
"""
NAMED = ("--model", "exportnets:small")


@pytest.fixture(scope="module")
def written(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "exportnets.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = hdap("prune", *NAMED, "--channels", "0=7", "--out", "net")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def here(written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(written)
    for file in written.glob("x.*"):
        file.unlink()
    return written


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    return line


def test_onnx_with_any_batch_size_runs_in_onnx_runtime(hdap: Hdap, here: Path) -> None:
    done = hdap("export", "net", *NAMED, "--dynamic-batch", "--opset", "20", "--out", "x.onnx")
    assert done.exit_code == 0, done.output
    assert "largest relative error" in done.stdout
    session = onnxruntime.InferenceSession("x.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(7, 3, 16, 16)
    (got,) = session.run(None, {"input": images.numpy()})
    with torch.no_grad():
        wanted = package.load_pruned("net", model=NAMED[1])(images)
    assert torch.allclose(torch.from_numpy(got), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["pt2", "torchscript"])
def test_the_other_formats_as_json(hdap: Hdap, here: Path, kind: str) -> None:
    done = hdap("export", "net", *NAMED, "--format", kind, "--out", "x.bin", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["files"] == ["x.bin"]
    assert document["bytes"] == (here / "x.bin").stat().st_size
    assert document["max_relative_error"] < 1e-4
    assert document["batches_compared"] == [1, 1, 1]


def test_int8_is_calibrated_on_data_and_judged_before_and_after(hdap: Hdap, here: Path) -> None:
    int8 = ("--precision", "int8", "--out", "x.onnx")
    data = ("--data", "exportnets:images", "--images", "3")
    done = hdap("export", "net", *NAMED, *int8, *data, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["precision"] == "int8"
    assert document["calibrated_on"] == "36 inputs of the data"
    assert 0 < document["rms_relative_error"] < 0.3
    assert document["max_relative_error"] is None
    assert document["accuracy"]["images"] == 3
    assert set(document["accuracy"]) == {"before", "after", "images"}
    ops = {node.op_type for node in onnx.load("x.onnx").graph.node}
    assert "DequantizeLinear" in ops
    random = hdap("export", "net", *NAMED, *int8, "--force")
    assert "calibrated on random inputs: good for latency" in random.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("net", "--out", "x.onnx"), "runs only when you name it"),
        (("net", *NAMED, "--format", "tflite", "--out", "x.onnx"), "onnx, openvino, ncnn"),
        (("net", *NAMED, "--format", "openvino", "--out", "x.onnx"), "must end in .xml"),
        (("net", *NAMED, "--format", "pt2", "--precision", "int8", "--out", "x"), "of pt2 must be"),
        (("net", *NAMED, "--data", "exportnets:images", "--out", "x.onnx"), "calibrates int8"),
        (("net", *NAMED, "--format", "pt2", "--opset", "18", "--out", "x.pt2"), "of ONNX alone"),
        (("nowhere", "--out", "x.onnx"), "hdap prune"),
        (("net", *NAMED, "--out", "net"), "is a folder"),
        (("net", *NAMED, "--out", "exportnets.py"), "--force"),
        (("net", *NAMED, "--out", "no/x.onnx"), "No such file or directory"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    hdap: Hdap, here: Path, arguments: tuple[str, ...], expected: str
) -> None:
    before = sorted(here.iterdir())
    assert expected in _error(hdap("export", *arguments))
    assert sorted(here.iterdir()) == before


def test_a_checkpoint_that_was_cut_is_refused(hdap: Hdap, here: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").mkdir()
    for file in (here / "net").iterdir():
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    line = _error(hdap("export", str(tmp_path / "cut"), *NAMED, "--out", "x.onnx"))
    assert "cut or changed" in line
