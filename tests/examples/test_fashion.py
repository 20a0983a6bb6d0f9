import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from hdap.examples import fashion
from hdap.examples.fashion import CLASSES, read_fashion
from hdap.fleet_data.errors import InputError
from hdap.requests.recipe import Recipe
from hdap.training.load_data import load_data
from hdap.training.training_loop import train


def _write(file: Path, array: np.typing.NDArray[np.uint8]) -> None:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with 40 and 20 images, whose class is a bright row."""
    for part, count in (("train", 40), ("t10k", 20)):
        labels = (np.arange(count) % len(CLASSES)).astype(np.uint8)
        images = np.random.default_rng(0).integers(0, 64, (count, 28, 28), dtype=np.uint8)
        for row in (0, 1):
            images[np.arange(count), 4 + 2 * labels + row] = 255
        _write(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        _write(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setattr(fashion, "FOLDER", tmp_path)
    monkeypatch.setattr(read_fashion, "__defaults__", (tmp_path,))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "shape"),
    [("fashion", (1, 28, 28)), ("fashion_plain", (1, 28, 28)), ("fashion_rgb96", (3, 96, 96))],
)
def test_is_data(name: str, shape: tuple[int, int, int], installed: Path) -> None:
    data = load_data(f"hdap.examples.fashion:{name}")
    assert (len(data.train), len(data.validation), data.classes) == (40, 20, 10)
    image, label = data.train[13]
    assert (image.shape, image.dtype, label) == (shape, torch.float32, 3)


def test_is_learned(installed: Path) -> None:
    data = load_data("hdap.examples.fashion:fashion_plain")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    assert train(network, data, Recipe(epochs=8, batch_size=8), device="cpu").last.accuracy == 1.0


def test_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="apt-get install dataset-fashion-mnist"):
        read_fashion(tmp_path / "nothing")


def test_what_a_factory_says_is_said_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_fashion, "__defaults__", (tmp_path / "nothing",))
    with pytest.raises(InputError, match=r"^Fashion-MNIST must be installed"):
        load_data("hdap.examples.fashion:fashion")
