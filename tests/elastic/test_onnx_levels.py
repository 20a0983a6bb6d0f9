import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hdap.device.sessions import LevelSessions
from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.levels import uniform_levels
from hdap.elastic.onnx_levels import WEIGHTS, Written, part_of, write_levels
from hdap.fleet_data.errors import InputError
from hdap.networks.loading import load_model
from hdap.networks.onnx_files import to_onnx
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace

SHAPE = (3, 32, 32)
SHARES = (0.25, 0.5, 1.0)


@pytest.fixture(scope="module")
def networks() -> list[nn.Module]:
    """Three levels whose channels are prefixes of each other."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()
    architecture = trace(module, name="small", input_shape=SHAPE)
    return [
        prune(module, architecture, (architecture.widths * share).astype(int)) for share in SHARES
    ]


@pytest.fixture(scope="module")
def folder(networks: list[nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("levels") / "out"
    alone = [to_onnx(network, SHAPE) for network in networks]
    sizes = [network.ByteSize() for network in alone]
    written = write_levels(made, alone)
    files = [made / WEIGHTS, *made.glob("level-*.onnx")]
    assert written == Written(3, sum(f.stat().st_size for f in files), sizes[-1], sum(sizes))
    return made


def test_every_level_answers_as_its_network(folder: Path, networks: list[nn.Module]) -> None:
    image = np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)
    levels = LevelSessions(str(folder))
    assert levels.levels == 3
    for level, network in enumerate(networks):
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        assert levels.run(level, image)[0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_levels_with_norms_of_their_own_take_little_more_than_the_widest(tmp_path: Path) -> None:
    architecture = trace("hdap.examples.networks:small_mobilenet")
    module = load_model(architecture.model).module
    rng = torch.Generator().manual_seed(0)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.weight.data.uniform_(0.5, 2.0, generator=rng)
        norm.bias.data.normal_(generator=rng)
    elastic = ElasticModel(
        module, architecture, uniform_levels(architecture, ("30%", "60%", "100%"))
    )
    for level, norms in enumerate(elastic.norms):
        for buffer in norms.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5 + level, 1.5 + level, generator=rng)
    networks = [elastic.materialise(level) for level in range(3)]
    written = write_levels(tmp_path / "out", [to_onnx(n, (1, 8, 8)) for n in networks])
    assert written.bytes < 1.2 * written.widest_bytes < 0.75 * written.unshared_bytes
    levels, image = LevelSessions(str(tmp_path / "out")), torch.randn(1, 1, 8, 8, generator=rng)
    for level, network in enumerate(networks):
        with torch.no_grad():
            expected = network(image).numpy()
        found = levels.run(level, image.numpy())[0]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4 * float(abs(expected).max()))


@pytest.mark.parametrize("lost", [bytes, lambda size: b""])
def test_what_a_machine_lost_of_its_own_order_is_made_again(
    tmp_path: Path, lost: Callable[[int], bytes]
) -> None:
    folder, image = tmp_path / "out", torch.ones(1, 8, 8, 8).numpy()
    write_levels(folder, [to_onnx(nn.Conv2d(8, 16, 3), (8, 8, 8))])
    levels = LevelSessions(str(folder))
    expected = levels.run(0, image)[0]
    weights = max(Path(levels.folder).iterdir(), key=lambda path: path.stat().st_size)
    weights.write_bytes(lost(weights.stat().st_size))
    assert LevelSessions(str(folder)).run(0, image)[0] == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_part_is_found_with_its_scales_and_nothing_else_is(seed: int, scaled: bool) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.standard_normal((6, 5, 3, 3)).astype(np.float32)
    scale = rng.uniform(0.1, 9.0, (4, 1, 1, 1)).astype(np.float32) if scaled else np.float32(1)
    part = part_of(whole[:4, :2] * scale, whole)
    assert part is not None
    assert part.shape == (4, 2, 3, 3)
    assert (part.scale is not None) == scaled
    if part.scale is not None:
        assert part.scale == pytest.approx(scale, rel=1e-6)
    other = whole[:4, :2] * scale
    other[rng.integers(4), 1, 0, 0] += 0.01
    assert part_of(other, whole) is None
    assert part_of(whole, whole[:4]) is None


def test_switching_up_and_down_gives_the_same_outputs(folder: Path) -> None:
    image = np.ones((1, *SHAPE), dtype=np.float32)
    levels = LevelSessions(str(folder))
    before = [levels.run(i, image)[0] for i in (0, 1, 2)]
    again = [levels.run(i, image)[0] for i in (2, 0, 1)]
    assert all((a == b).all() for a, b in zip(before, [again[1], again[2], again[0]], strict=True))


def test_levels_are_put_in_order_once_and_weights_stay_in_files(folder: Path) -> None:
    cache = Path(LevelSessions(str(folder)).folder)
    made = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert LevelSessions(str(folder)).folder == str(cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == made
    for level in range(3):
        network = onnx.load(cache / f"level-{level}.onnx", load_external_data=False)
        large = [t for t in network.graph.initializer if np.prod(t.dims) * 4 >= 1024]
        assert large
        assert all(t.data_location == onnx.TensorProto.EXTERNAL for t in large)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opened_levels_map_the_weights_and_hold_no_copies(tmp_path: Path) -> None:
    wide = nn.Sequential(nn.Conv2d(3, 512, 3), nn.ReLU(), nn.Conv2d(512, 768, 3))
    folder = tmp_path / "wide"
    write_levels(folder, [to_onnx(wide, (3, 8, 8))])
    levels = LevelSessions(str(folder))
    levels.network(0)
    with open(f"/proc/{os.getpid()}/maps") as maps:
        assert any("level-0.bin" in line and " r" in line for line in maps)


def test_an_empty_folder_is_filled_and_stays_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_levels(Path(), [to_onnx(nn.Conv2d(1, 8, 3), (1, 8, 8))])
    assert sorted(os.listdir()) == ["controller.pyz", "level-0.onnx", "weights.bin"]


def test_a_folder_that_is_not_empty_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="must be new or empty"):
        write_levels(folder, [])


def test_a_writer_that_is_stopped_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(name: str) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("hdap.elastic.onnx_levels.program", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_levels(tmp_path / "out", [to_onnx(nn.Conv2d(1, 8, 3), (1, 8, 8))])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_levels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"must hold level-0\.onnx"):
        LevelSessions(str(tmp_path))
