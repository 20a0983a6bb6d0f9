"""Every registered format: written, compared with torch, and whole or not there at all."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks import exporting
from hdap.networks.export_formats.base import ExportFormat, ExportOptions, Runner, Shape
from hdap.networks.export_formats.registry import FORMATS
from hdap.networks.exporting import BOUNDS, TOLERANCE, export
from hdap.networks.forward_pass import leaves
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace

FullDisk = Callable[[], AbstractContextManager[None]]

SHAPE = (3, 32, 32)
NO_ARGMAX = {"ncnn"}
"""Formats of runtimes that have no such operator, which is said."""


@pytest.fixture(scope="module")
def pruned() -> nn.Module:
    """Half of a small network with batch norms, whose statistics matter."""
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 24, 3, stride=2),
        nn.BatchNorm2d(24),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    ).eval()
    rng = torch.Generator().manual_seed(0)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.detach().copy_(torch.rand(tensor.shape, generator=rng) + 0.1)
    architecture = trace(network, input_shape=SHAPE)
    return prune(network, architecture, np.array([11, 7]))


class Undecided(nn.Module):
    """What it computes depends on numbers, which no export can follow faithfully."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.conv(image)
        return result if float(image.sum()) == 0 else result * 2


@dataclass
class Detections:
    boxes: Tensor
    rest: dict[str, Any]


class Detector(nn.Module):
    """Sound, and more than one tensor in classes that no format knows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 8, 5)

    def forward(self, sound: Tensor) -> Any:
        features = self.conv(sound)
        return Detections(features, {"best": [features.argmax(1), features.mean((1, 2))]})


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features: Tensor = self.conv(image)
        return features.mean((2, 3)), features


class Wrong(ExportFormat):
    """Another format whose files give outputs that `change` has been at."""

    def __init__(self, kind: str, change: Callable[[Any], Any]) -> None:
        self._format, self._change = FORMATS[kind], change
        self.suffix = self._format.suffix  # type: ignore[misc]

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        self._format.write(network, shape, options, file)

    def open(self, file: Path) -> Runner:
        run = self._format.open(file)
        return lambda images: self._change(run(images))


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """A format whose packages are here; the others are told as skipped."""
    name = str(request.param)
    try:
        _cheapest(name)
    except InputError as missing:
        pytest.skip(str(missing))
    return name


@cache
def _cheapest(name: str) -> None:
    with TemporaryDirectory() as folder:
        network = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
        FORMATS[name].write(network, SHAPE, ExportOptions(), _out(Path(folder), name))


def _out(folder: Path, kind: str) -> Path:
    return folder / f"net{FORMATS[kind].suffix}"


def _options(kind: str, dynamic: bool) -> ExportOptions:
    if dynamic and not FORMATS[kind].any_batch:
        pytest.skip(f"{kind} is written for a batch of 1")
    return ExportOptions(dynamic_batch=dynamic)


def _networks(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


@pytest.mark.parametrize("kind", FORMATS, indirect=True)
class TestContract:
    @pytest.mark.parametrize("dynamic", [False, True])
    def test_every_output_is_written_by_name_and_compared(
        self, kind: str, dynamic: bool, tmp_path: Path
    ) -> None:
        network = Detector().eval()
        options = _options(kind, dynamic)
        if kind in NO_ARGMAX:
            with pytest.raises(UnsupportedModelError, match=r"has none for torch\.argmax"):
                export(network, (2, 64), kind, _out(tmp_path, kind), options)
            return
        done = export(network, (2, 64), kind, _out(tmp_path, kind), options)
        sound = torch.randn(3 if dynamic else 1, 2, 64)
        got = FORMATS[kind].open(done.files[0])(sound)
        assert list(got) == ["boxes", "rest.best.0", "rest.best.1"]
        assert isinstance(network(sound), Detections)
        for wanted, tensor in zip(leaves(network(sound)), got.values(), strict=True):
            assert torch.allclose(wanted.double(), tensor.double(), rtol=1e-4, atol=1e-5)

    def test_a_second_output_that_is_wrong_is_refused(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def off(outputs: Any) -> Any:
            return outputs | {"output.1": outputs["output.1"] * 1.001}

        monkeypatch.setattr(exporting, "FORMATS", {"wrong": Wrong(kind, off)})
        with pytest.raises(UnsupportedModelError, match=r"its output\.1 is \(1, 4, 8, 8\)"):
            export(Several().eval(), (3, 8, 8), "wrong", _out(tmp_path, kind))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("dynamic", [False, True])
    def test_the_file_computes_what_torch_does(
        self, kind: str, dynamic: bool, pruned: nn.Module, tmp_path: Path
    ) -> None:
        options = _options(kind, dynamic)
        done = export(pruned, SHAPE, kind, _out(tmp_path, kind), options)
        assert done.files[0] == _out(tmp_path, kind)
        assert sorted(tmp_path.iterdir()) == sorted(done.files)
        assert _networks(tmp_path) == {"net"}
        assert done.bytes == sum(file.stat().st_size for file in done.files)
        assert done.error <= TOLERANCE
        assert done.batches == ((1, 2, 5) if dynamic else (1, 1, 1))
        images = torch.randn(3 if dynamic else 1, *SHAPE)
        with torch.no_grad():
            wanted, got = pruned(images), FORMATS[kind].open(done.files[0])(images)
        assert torch.allclose(wanted, got, rtol=1e-4, atol=1e-5)

    def test_a_file_that_is_there_stays_unless_told(
        self, kind: str, pruned: nn.Module, tmp_path: Path
    ) -> None:
        out = _out(tmp_path, kind)
        out.write_text("mine")
        with pytest.raises(InputError, match="--force"):
            export(pruned, SHAPE, kind, out)
        folder = out.with_stem("folder")
        folder.mkdir()
        with pytest.raises(InputError, match="is a folder"):
            export(pruned, SHAPE, kind, folder, force=True)
        assert out.read_text() == "mine"

    def test_a_network_that_cannot_be_followed_leaves_nothing(
        self, kind: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UnsupportedModelError):
            export(Undecided().eval(), SHAPE, kind, _out(tmp_path, kind))
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk_is_one_line_and_leaves_what_was_there(
        self, kind: str, pruned: nn.Module, tmp_path: Path, full_disk: FullDisk
    ) -> None:
        out = _out(tmp_path, kind)
        out.write_text("mine")
        with full_disk(), pytest.raises(InputError, match="must be writable"):
            export(pruned, SHAPE, kind, out, force=True)
        assert list(tmp_path.iterdir()) == [out]
        assert out.read_text() == "mine"

    def test_a_file_that_computes_something_else_is_refused(
        self, kind: str, pruned: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = Wrong(kind, lambda outputs: outputs * 1.001)
        monkeypatch.setattr(exporting, "FORMATS", {"wrong": wrong})
        with pytest.raises(UnsupportedModelError, match="must compute what torch does"):
            export(pruned, SHAPE, "wrong", _out(tmp_path, kind))
        assert list(tmp_path.iterdir()) == []

    def test_other_precisions_are_near_and_say_how_near(
        self, kind: str, pruned: nn.Module, tmp_path: Path
    ) -> None:
        for precision in FORMATS[kind].precisions[1:]:
            out = _out(tmp_path / precision, kind)
            out.parent.mkdir()
            done = export(pruned, SHAPE, kind, out, ExportOptions(precision=precision))
            assert TOLERANCE < done.error < BOUNDS[precision]
            assert (done.agreement is not None) == (precision == "int8")
            assert done.calibrated == ("random" if precision == "int8" else "")

    def test_int8_that_is_far_off_is_refused(
        self, kind: str, pruned: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if "int8" not in FORMATS[kind].precisions:
            pytest.skip(f"{kind} has no int8")
        wrong = Wrong(kind, lambda outputs: outputs * 1.5)
        wrong.precisions = ("float32", "int8")  # type: ignore[misc]
        monkeypatch.setattr(exporting, "FORMATS", {"wrong": wrong})
        with pytest.raises(UnsupportedModelError, match="in int8 must stay near torch's"):
            export(pruned, SHAPE, "wrong", _out(tmp_path, kind), ExportOptions(precision="int8"))
        assert list(tmp_path.iterdir()) == []

    def test_what_a_format_has_not_is_one_line_before_any_work(
        self, kind: str, pruned: nn.Module, tmp_path: Path
    ) -> None:
        def refused(options: ExportOptions, name: str, match: str) -> None:
            with pytest.raises(InputError, match=match):
                export(pruned, SHAPE, kind, tmp_path / name, options)

        good = _out(tmp_path, kind).name
        refused(ExportOptions(precision="int4"), good, "--precision of .* must be one of float32")
        if FORMATS[kind].suffix:
            refused(ExportOptions(), "net.zip", "must end in")
        if not FORMATS[kind].any_batch:
            refused(ExportOptions(dynamic_batch=True), good, "batch of 1")
        assert list(tmp_path.iterdir()) == []
