"""Every runtime that is installed here; those that are not are told as skipped."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import OpenNetwork, Runtime
from hdap.device.runtimes.registry import RUNTIMES, load_runtime
from hdap.fleet_data.errors import InputError
from hdap.networks.runtime_files.base import FilesWanted
from hdap.networks.runtime_files.registry import RUNTIME_FILES, files_for

SHAPE = (3, 8, 8)


@pytest.fixture(params=sorted(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    try:
        return load_runtime(str(request.param))
    except DeviceError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 5))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def made(module: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The module as a file of a bundle for a runtime in a precision, with its own weights; once."""
    files: dict[tuple[str, str], Path] = {}

    def make(name: str, precision: str) -> Path:
        key = (name, precision)
        if key not in files:
            folder = tmp_path_factory.mktemp(f"{name}-{precision}")
            writer = files_for(name, FilesWanted(folder, SHAPE, precision, "own"))
            try:
                writer.add(module, "net")
            except InputError as missing:
                pytest.skip(str(missing))
            writer.finish()
            files[key] = writer.file("net")
        return files[key]

    return make


@pytest.fixture
def path(runtime: Runtime, made: Callable[[str, str], Path]) -> Path:
    return made(runtime.name, "float32")


@pytest.fixture
def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)


def _says(
    network: OpenNetwork, module: nn.Module, image: NDArray[np.float32], near: float = 1e-5
) -> None:
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    (found,) = network.run(image)
    np.testing.assert_allclose(found, expected, rtol=10 * near, atol=near)


def test_every_runtime_says_how_networks_are_made_for_it() -> None:
    assert list(RUNTIME_FILES) == list(RUNTIMES)
    for name, runtime in RUNTIMES.items():
        assert runtime.name == name
        assert runtime.package
        assert runtime.precisions[0] == "float32"


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


@pytest.mark.parametrize(("precision", "near"), [("float16", 0.01), ("bfloat16", 0.05)])
def test_a_precision_is_computed_in_or_refused(
    runtime: Runtime,
    path: Path,
    module: nn.Module,
    image: NDArray[np.float32],
    precision: str,
    near: float,
) -> None:
    if precision not in runtime.precisions:
        with pytest.raises(DeviceError, match="--precision must be one of float32"):
            load_runtime(runtime.name, precision=precision)
        return
    try:
        network = load_runtime(runtime.name, precision=precision).open(str(path))
    except DeviceError as refused:
        assert "use another --precision" in str(refused)  # noqa: PT017 - either is right
        return
    _says(network, module, image, near)
    exact = runtime.open(str(path)).run(image)[0]
    assert not np.array_equal(network.run(image)[0], exact)


def test_int8_is_near_and_not_the_same(
    runtime: Runtime,
    path: Path,
    made: Callable[[str, str], Path],
    module: nn.Module,
    image: NDArray[np.float32],
) -> None:
    if "int8" not in runtime.precisions:
        pytest.skip(f"{runtime.name} has no int8")
    network = load_runtime(runtime.name, precision="int8").open(str(made(runtime.name, "int8")))
    _says(network, module, image, 0.1)
    exact = runtime.open(str(path)).run(image)[0]
    assert not np.array_equal(network.run(image)[0], exact)


def test_weights_for_latency_alone_run_in_every_precision(
    runtime: Runtime, module: nn.Module, image: NDArray[np.float32], tmp_path: Path
) -> None:
    for precision in {"float32", "int8"} & set(runtime.precisions):
        folder = tmp_path / precision
        folder.mkdir()
        writer = files_for(runtime.name, FilesWanted(folder, SHAPE, precision))
        try:
            writer.add(module, "net")
        except InputError as missing:
            pytest.skip(str(missing))
        writer.finish()
        opened = load_runtime(runtime.name, precision=precision).open(str(writer.file("net")))
        (found,) = opened.run(image)
        assert found.shape == (1, 5)
        assert np.isfinite(found).all()


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


def test_the_time_of_the_thread_is_what_an_inference_costs(
    runtime: Runtime, path: Path, image: NDArray[np.float32]
) -> None:
    """A runtime that works in threads of its own would measure next to nothing."""
    network, took = runtime.open(str(path)), []

    def work() -> None:
        network.run(image)
        process, thread = time.process_time(), time.thread_time()
        for _ in range(200):
            network.run(image)
        took.append((time.thread_time() - thread) / (time.process_time() - process))

    # in a thread of its own: what else this process does must not count here
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert not runtime.thread_time_tells or took[0] > 0.5


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


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_package_that_is_missing_is_one_line_with_what_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = RUNTIMES[name].package
    for module in ("onnxruntime", "openvino", "ncnn", "torch", "ai_edge_litert", "executorch"):
        monkeypatch.setitem(sys.modules, module, None)
        for part in [one for one in sys.modules if one.startswith(f"{module}.")]:
            monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(DeviceError, match=f"python3 -m pip install {package}") as raised:
        load_runtime(name)
    assert "\n" not in str(raised.value)


def test_an_unknown_runtime_is_answered_with_the_nearest() -> None:
    with pytest.raises(DeviceError, match="did you mean `onnxruntime`"):
        load_runtime("onnxruntim")


def test_the_registry_imports_no_runtime() -> None:
    names = ("onnxruntime", "openvino", "ncnn", "torch", "ai_edge_litert", "executorch")
    code = (
        "import sys, hdap.device.runtimes.registry; "
        f"print([name for name in {names} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


CLOSED_THEN_CTRL_C = """
import gc, os, signal, sys, time
from hdap.device.runtimes.registry import load_runtime

signal.signal(signal.SIGINT, signal.default_int_handler)
opened = []
for _ in range(2):
    runtime = load_runtime(sys.argv[1])
    opened.append((runtime, runtime.open(sys.argv[2])))
del runtime
while opened:
    opened.pop(0)
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_interrupts_after_networks_were_closed(runtime: Runtime, path: Path) -> None:
    code = [sys.executable, "-c", CLOSED_THEN_CTRL_C, runtime.name, str(path)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted\n"
