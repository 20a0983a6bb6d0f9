import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
from numpy.typing import NDArray
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle

Image = NDArray[np.float32]
INPUT_SHAPE = (3, 64, 64)


@pytest.fixture(scope="session")
def small_model() -> tuple[nn.Module, Architecture]:
    # A real timm network, made small: one block a stage, on small images.
    module = timm.create_model(
        "resnet18", num_classes=10, layers=(1, 1, 1, 1), channels=(16, 32, 48, 64)
    )
    return module.eval(), trace(module, name="small", input_shape=INPUT_SHAPE)


@pytest.fixture(scope="session")
def small_plan(small_model: tuple[nn.Module, Architecture]) -> list[PlannedConfiguration]:
    widths = small_model[1].widths
    halves = tuple(np.maximum(8, widths // 2 // 8 * 8).tolist())
    thin = tuple(np.full_like(widths, 8).tolist())
    return [PlannedConfiguration(thin), PlannedConfiguration(halves, "anchor")]


@pytest.fixture(scope="session")
def written_bundle(
    small_model: tuple[nn.Module, Architecture],
    small_plan: list[PlannedConfiguration],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    module, architecture = small_model
    folder = tmp_path_factory.mktemp("bundles") / "small"
    write_bundle(folder, architecture, module, small_plan)
    return folder


@pytest.fixture
def bundle(written_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written_bundle, tmp_path / "bundle"))


@pytest.fixture
def pieces(tmp_path: Path) -> Callable[[dict[str, str]], str]:
    def write(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "root")

    return write


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(0).standard_normal((3, 16, 16)).astype(np.float32)


@pytest.fixture
def expected(made_portfolio: Path, image: Image) -> dict[str, Image]:
    """What each variant says, from a plain session."""
    return {
        name: onnxruntime.InferenceSession(
            made_portfolio / f"{name}.onnx", providers=["CPUExecutionProvider"]
        ).run(None, {"input": image[None]})[0]
        for name in ("v0", "v1", "v2")
    }
