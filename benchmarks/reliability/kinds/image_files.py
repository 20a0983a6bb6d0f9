"""Damaged idx files and CIFAR archives: read whole, or refused in one line; nothing is executed."""

import gzip
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.reliability.attack import Attack, Outcome, Tally
from hdap.fleet_data.errors import InputError
from hdap.training.datasets import DataOptions
from hdap.training.load_data import load_data

OPTIONS = DataOptions(input_shape=(1, 8, 8))
PARTS = (("train", 12), ("t10k", 6))
FEWER = 20
"""An attack tries one case of so many: each reads several files."""


def damaged_idx(folder: Path, cases: int) -> Outcome:
    rng = np.random.default_rng(0)
    tally = Tally()
    files = _idx_files(folder)
    for _ in range(max(1, cases // FEWER)):
        file = files[int(rng.integers(len(files)))]
        tally.add(_read_damaged(folder, file, rng))
    return tally.outcome()


def damaged_cifar(folder: Path, cases: int) -> Outcome:
    rng = np.random.default_rng(0)
    tally = Tally()
    files = _cifar_files(folder)
    for _ in range(max(1, cases // FEWER)):
        file = files[int(rng.integers(len(files)))]
        tally.add(_read_damaged(folder, file, rng))
    return tally.outcome()


def damaged_archive(folder: Path, cases: int) -> Outcome:
    rng = np.random.default_rng(0)
    tally = Tally()
    inside = folder / "cifar-10-batches-py"
    inside.mkdir()
    _cifar_files(inside)
    file = folder / "cifar-10-python.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        archive.add(inside, inside.name)
    for _ in range(max(1, cases // FEWER)):
        tally.add(_read_damaged(file, file, rng))
    return tally.outcome()


def _read_damaged(given: Path, file: Path, rng: np.random.Generator) -> str:
    """What is wrong with how `given` is read while `file` is damaged; nothing: empty."""
    whole = file.read_bytes()
    file.write_bytes(_damaged(whole, rng))
    try:
        data = load_data(str(given), OPTIONS)
        data.train[0]
    except InputError as error:
        return f"{file.name}: {str(error)!r}" if "\n" in str(error) else ""
    except BaseException as error:
        return f"{file.name}: {type(error).__name__}: {error}"
    finally:
        file.write_bytes(whole)
    return ""


def _damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, bytes changed (most often those at the front), or bytes put in."""
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: whole[: int(rng.integers(len(whole)))],
        lambda: _changed(whole, rng, min(len(whole), 64)),
        lambda: _changed(whole, rng, len(whole)),
        lambda: whole + rng.bytes(int(rng.integers(1, 40))),
    )
    return ways[int(rng.integers(len(ways)))]()


def _changed(whole: bytes, rng: np.random.Generator, within: int) -> bytes:
    found = bytearray(whole)
    for place in rng.integers(within, size=int(rng.integers(1, 6))):
        found[int(place)] = int(rng.integers(256))
    return bytes(found)


def _idx_files(folder: Path) -> list[Path]:
    rng = np.random.default_rng(1)
    for part, count in PARTS:
        images = rng.integers(256, size=(count, 8, 8), dtype=np.uint8)
        labels = (np.arange(count) % 3).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            sizes = struct.pack(f">{array.ndim}I", *array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            zipped = part == "train"
            path = folder / (f"{name}-ubyte.gz" if zipped else f"{name}-ubyte")
            path.write_bytes(gzip.compress(content) if zipped else content)
    return sorted(folder.iterdir())


def _cifar_files(folder: Path) -> list[Path]:
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        rows = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 7]}
        (folder / name).write_bytes(pickle.dumps(rows, protocol=2))
    names = {"label_names": [f"thing {n}" for n in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    return sorted(folder.iterdir())


ATTACKS = (
    Attack("damaged idx files", damaged_idx),
    Attack("damaged files of CIFAR", damaged_cifar),
    Attack("damaged archives of CIFAR", damaged_archive),
)
