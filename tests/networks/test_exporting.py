import errno
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.criteria import Evidence
from hdap.networks.export_formats import onnx_format
from hdap.networks.export_formats.base import ExportOptions, followed
from hdap.networks.exporting import TOLERANCE, export
from hdap.networks.loading import load_model
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import PrunedNetwork, prune_planned
from hdap.networks.tracing import describe

SHAPE = (3, 32, 32)


def test_a_pruned_timm_network_goes_to_onnx(tmp_path: Path) -> None:
    loaded = load_model("mobilenetv1_100", device="meta")
    architecture = describe(loaded.module, "mobilenetv1_100", loaded.input_shape)
    plan = PrunePlan(architecture, np.maximum(architecture.widths // 8, 1))
    made = prune_planned(plan, WeightsSource(), "l1", Evidence())
    options = ExportOptions(dynamic_batch=True)
    done = export(made.module, loaded.input_shape, "onnx", tmp_path / "x.onnx", options)
    assert done.error < TOLERANCE


def test_onnx_takes_the_opset_asked_for(pruned: PrunedNetwork, tmp_path: Path) -> None:
    export(pruned.module, SHAPE, "onnx", tmp_path / "x.onnx", ExportOptions(opset=21))
    model = onnx.load(tmp_path / "x.onnx")
    assert [x.version for x in model.opset_import if not x.domain] == [21]
    onnx.checker.check_model(model)


def test_what_the_disk_refuses_is_not_laid_on_the_network() -> None:
    with pytest.raises(OSError, match="no room"), followed("an exporter"):
        raise OSError(errno.EFBIG, "no room")
    named = pytest.raises(UnsupportedModelError, match="an exporter must be able to follow")
    with named, followed("an exporter"):
        raise FileNotFoundError(errno.ENOENT, "its compiler")


@pytest.mark.parametrize("opset", [5, 99])
def test_an_opset_that_cannot_be_written_is_refused(
    opset: int, pruned: PrunedNetwork, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModelError, match="ONNX"):
        export(pruned.module, SHAPE, "onnx", tmp_path / "x.onnx", ExportOptions(opset=opset))
    assert list(tmp_path.iterdir()) == []


def test_large_weights_go_to_a_second_file(
    pruned: PrunedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_format, "PROTOBUF_LIMIT", 1000)
    done = export(pruned.module, SHAPE, "onnx", tmp_path / "x.onnx")
    assert [f.name for f in done.files] == ["x.onnx", "x.onnx.data"]
    assert done.files[0].stat().st_size < done.files[1].stat().st_size
    session = onnxruntime.InferenceSession(done.files[0], providers=["CPUExecutionProvider"])
    images = torch.randn(1, *SHAPE)
    (got,) = session.run(None, {"input": images.numpy()})
    with torch.no_grad():
        assert torch.allclose(pruned.module(images), torch.from_numpy(got), atol=1e-4)


def test_what_belongs_to_another_file_is_not_replaced(
    pruned: PrunedNetwork, tmp_path: Path
) -> None:
    export(pruned.module, SHAPE, "openvino", tmp_path / "x.xml")
    for force in (False, True):
        with pytest.raises(InputError, match=r"x\.bin belongs to x\.xml"):
            export(pruned.module, SHAPE, "ncnn", tmp_path / "x.param", force=force)
    (tmp_path / "y.bin").write_bytes(b"years")
    with pytest.raises(InputError, match=r"y\.bin is there"):
        export(pruned.module, SHAPE, "openvino", tmp_path / "y.xml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.bin", "x.xml", "y.bin"]
    export(pruned.module, SHAPE, "openvino", tmp_path / "x.xml", force=True)


def test_an_unknown_format_names_the_known(pruned: PrunedNetwork, tmp_path: Path) -> None:
    known = "onnx, openvino, ncnn, litert, executorch, pt2, torchscript"
    with pytest.raises(InputError, match=known):
        export(pruned.module, SHAPE, "tflite", tmp_path / "x")


def test_a_folder_that_is_not_there_is_one_line(pruned: PrunedNetwork, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        export(pruned.module, SHAPE, "torchscript", tmp_path / "no" / "x")
