import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import OpenNetwork, Runtime
from hdap.device.runtimes.registry import RUNTIMES, load_runtime
from hdap.networks.onnx_files import to_onnx

SHAPE = (3, 8, 8)
WRITERS: dict[str, Callable[[nn.Module, Path], None]] = {
    ".onnx": lambda module, path: onnx.save(to_onnx(module, SHAPE), path),
}
"""How a network becomes a file, by its suffix."""


@pytest.fixture(params=sorted(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return load_runtime(str(request.param))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 5))
    return nn.Sequential(*layers).eval()


@pytest.fixture
def path(runtime: Runtime, module: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / f"net{runtime.suffix}"
    WRITERS[runtime.suffix](module, path)
    return path


@pytest.fixture
def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)


def _says(network: OpenNetwork, module: nn.Module, image: NDArray[np.float32]) -> None:
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    (found,) = network.run(image)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_registry_names_every_runtime_as_it_names_itself(runtime: Runtime) -> None:
    assert RUNTIMES[runtime.name] is type(runtime)
    assert runtime.label == f"{runtime.name}-{runtime.version}-cpu-1t"
    assert "cpu" in runtime.providers
    assert load_runtime(runtime.name, threads=2).label.endswith("-2t")
    assert not load_runtime(runtime.name, threads=2).thread_time_tells


def test_a_network_says_what_it_says_in_torch(
    runtime: Runtime, path: Path, module: nn.Module, image: NDArray[np.float32]
) -> None:
    network = runtime.open(str(path))
    assert network.shape == (1, *SHAPE)
    _says(network, module, image)


def test_what_was_prepared_says_the_same(
    runtime: Runtime, path: Path, module: nn.Module, image: NDArray[np.float32], tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    runtime.prepare(str(path), str(folder), "mine")
    assert all(file.name.startswith("mine.") for file in folder.iterdir())
    _says(runtime.open_prepared(str(folder), "mine"), module, image)
    assert runtime.machine
    assert runtime.machine == load_runtime(runtime.name).machine


def test_running_writes_to_nothing_and_repeats(
    runtime: Runtime, path: Path, image: NDArray[np.float32]
) -> None:
    network, before = runtime.open(str(path)), image.copy()
    image.flags.writeable = False
    first, second = network.run(image)[0].copy(), network.run(image)[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)


def test_many_threads_run_one_network_at_once(runtime: Runtime, path: Path) -> None:
    network, rng = runtime.open(str(path)), np.random.default_rng(1)
    images = rng.standard_normal((32, 1, *SHAPE)).astype(np.float32)
    alone = [network.run(image)[0].copy() for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda image: network.run(image)[0].copy(), images))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("content", [b"", b"no network", None])
def test_what_is_no_network_is_one_line(
    runtime: Runtime, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / f"broken{runtime.suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeviceError, match="broken") as raised:
        runtime.open(str(path))
    assert "\n" not in str(raised.value)


def test_a_provider_that_is_not_there_names_those_that_are(runtime: Runtime) -> None:
    with pytest.raises(DeviceError, match=r"there are: .*CPU"):
        load_runtime(runtime.name, provider="abacus")


def test_an_unknown_runtime_is_answered_with_the_nearest() -> None:
    with pytest.raises(DeviceError, match="did you mean `onnxruntime`"):
        load_runtime("onnxruntim")


def test_the_registry_imports_no_runtime() -> None:
    code = "import sys, hdap.device.runtimes.registry; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
