"""Tiny data sets in the real formats."""

import gzip
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def _idx(array: Bytes) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def _pixels(count: int, *shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """MNIST's four files: 30 and 20 images of 28 x 28 in ten classes; one file is not gzipped."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in (("train", 30), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = _idx(_pixels(count, 28, 28, seed=count))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(_idx(labels))
    return folder


def _rows(name: str) -> tuple[Bytes, list[int]]:
    """Four images of a file, whose first pixel is its number."""
    rows = _pixels(4, 3072, seed=len(name))
    rows[:, 0] = range(4)
    return rows, [0, 3, 5, 9]


def _python_cifar(folder: Path) -> Path:
    """CIFAR-10's python archive as unpacked."""
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        data, labels = _rows(name)
        content = {b"data": data, b"labels": labels, b"batch_label": name.encode()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = [f"thing {n}" for n in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    return folder


def _binary_cifar(folder: Path) -> Path:
    """The binary archive as unpacked, with the same images."""
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        data, labels = _rows(name)
        rows = np.concatenate([np.array(labels, np.uint8)[:, None], data], axis=1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(f"thing-{n}" for n in range(10)) + "\n\n")
    return folder


def _cifar_100(folder: Path) -> Path:
    """The python edition of CIFAR-100."""
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        data, labels = _rows(name)
        content = {"data": data, "fine_labels": [90 + n for n in labels], "coarse_labels": labels}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


@pytest.fixture
def packed() -> Callable[[Path], Path]:
    """Makes a .tar.gz beside a folder."""

    def pack(folder: Path) -> Path:
        file = folder.with_name(f"{folder.name}.tar.gz")
        with tarfile.open(file, "w:gz") as archive:
            archive.add(folder, folder.name)
        return file

    return pack


@pytest.fixture
def cifar() -> dict[str, Callable[[Path], Path]]:
    """Makes CIFAR's files in a folder, by edition."""
    return {"python": _python_cifar, "binary": _binary_cifar, "hundred": _cifar_100}
