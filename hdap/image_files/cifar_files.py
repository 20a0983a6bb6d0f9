"""CIFAR-10 and CIFAR-100 as their author ships them: the python or the binary archive, or unpacked.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A row is 3,072 bytes:
red, green, blue, each 32 x 32. The python archive holds pickles; nothing in them is executed.
"""

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.image_files.labelled_pixels import Bytes, LabelledPixels, PixelParts

SHAPE = (3, 32, 32)
ROW = 3 * 32 * 32
MOST_BYTES = 2**28
"""Of one file; the largest that is shipped has 150 MiB."""
HARMLESS = {
    *((module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    ("_codecs", "encode"),
}
"""All that a pickle of arrays, lists and texts needs."""


@dataclass(frozen=True)
class Edition:
    """How one of the archives names its files and what a binary row begins with."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    labels: str
    classes: int
    label_bytes: int = 0
    """Before each binary row; the last is the class. 0: pickles."""


FIVE = tuple(f"data_batch_{n}" for n in range(1, 6))
EDITIONS = (
    Edition(FIVE, ("test_batch",), "labels", 10),
    Edition(tuple(f"{n}.bin" for n in FIVE), ("test_batch.bin",), "", 10, 1),
    Edition(("train",), ("test",), "fine_labels", 100),
    Edition(("train.bin",), ("test.bin",), "", 100, 2),
)
NAMES = ("batches.meta", "batches.meta.txt", "meta", "fine_label_names.txt")


def edition_of(path: Path) -> Edition | None:
    """The edition whose files lie in folder `path`, or right below it; None where none do."""
    return next((e for e in EDITIONS if _folder_of(path, e) is not None), None)


def read_cifar(path: Path) -> PixelParts:
    """Both parts of a CIFAR archive or folder.

    Raises `InputError` when it is none, when a file is missing or damaged, or when a pickle would
    run code.
    """
    files = dict(_members(path) if path.is_file() else _in_folder(path))
    for edition in EDITIONS:
        if set(edition.train) & files.keys():
            break
    else:
        raise InputError(
            f"{path} must be CIFAR-10 or CIFAR-100 as their page ships them (python or binary), "
            "but has none of their files; unpack other data into folders, one a class"
        )
    missing = sorted({*edition.train, *edition.validation} - files.keys())
    if missing:
        raise InputError(f"{path} must hold all of CIFAR, but lacks {', '.join(missing)}")
    classes = _class_names(files, edition)
    return PixelParts(
        _part(path, files, edition, edition.train, classes),
        _part(path, files, edition, edition.validation, classes),
    )


def _part(
    path: Path,
    files: Mapping[str, bytes],
    edition: Edition,
    names: tuple[str, ...],
    classes: tuple[str, ...],
) -> LabelledPixels:
    parts = [_rows(f"{path}: {name}", files[name], edition) for name in names]
    pixels, labels = (np.concatenate(x) for x in zip(*parts, strict=True))
    return LabelledPixels(pixels.reshape(-1, *SHAPE), labels, classes, f"{path}: {names[0]}")


def _rows(name: str, content: bytes, edition: Edition) -> tuple[Bytes, Bytes]:
    """Pixels `n x ROW` and labels `n` of one file."""
    if edition.label_bytes:
        row = ROW + edition.label_bytes
        if not content or len(content) % row:
            raise InputError(
                f"{name} must hold rows of {row:,} bytes, but has {len(content):,}; fetch it again"
            )
        table = np.frombuffer(content, np.uint8).reshape(-1, row)
        return table[:, edition.label_bytes :], table[:, edition.label_bytes - 1]
    found = _unpickled(name, content)
    pixels: Any
    labels: Any
    pixels, labels = found.get("data"), found.get(edition.labels)
    sound = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 2
    if not (sound and pixels.shape[1] == ROW and isinstance(labels, list)):
        raise InputError(
            f"{name} must hold `data` (uint8, n x {ROW:,}) and `{edition.labels}`, but does not; "
            "fetch it again"
        )
    if not all(isinstance(label, int) and 0 <= label < edition.classes for label in labels):
        raise InputError(
            f"`{edition.labels}` of {name} must be in 0..{edition.classes - 1}; fetch it again"
        )
    return pixels, np.array(labels, np.uint8)


def _class_names(files: Mapping[str, bytes], edition: Edition) -> tuple[str, ...]:
    """As the archive calls them; their numbers where it does not."""
    found: Any = ()
    for name in NAMES:
        if name in files and name.endswith(".txt"):
            found = files[name].decode("utf-8", "replace").split()
        elif name in files:
            meta = _unpickled(name, files[name])
            found = meta.get("label_names", meta.get("fine_label_names", ()))
    named = isinstance(found, list) and len(found) == edition.classes
    return tuple(map(str, found)) if named else tuple(map(str, range(edition.classes)))


class _Harmless(pickle.Unpickler):
    """Makes arrays, lists, texts and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no data")
        return super().find_class(module, name)


def _unpickled(name: str, content: bytes) -> dict[str, Any]:
    try:
        found = _Harmless(io.BytesIO(content), encoding="latin1").load()
    # A damaged pickle raises what it likes.
    except Exception as error:
        raise InputError(
            f"{name} must be a pickle of arrays and lists, but reading it failed with "
            f"{type(error).__name__}: {_first_line(error)}; fetch it again"
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"{name} must hold a dict, but holds a {type(found).__name__}")
    return {k.decode("latin1") if isinstance(k, bytes) else str(k): v for k, v in found.items()}


def _wanted(name: str) -> bool:
    return name in NAMES or any(name in (*e.train, *e.validation) for e in EDITIONS)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files of a tar archive by name; nothing is written to disk."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and _wanted(name):
                    _require_small(f"{path}: {name}", member.size)
                    file = archive.extractfile(member)
                    assert file is not None  # a regular file
                    yield name, file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"{path} must be a folder of images or an archive of CIFAR (.tar.gz), but reading it "
            f"failed with {type(error).__name__}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")


def _folder_of(path: Path, edition: Edition) -> Path | None:
    """Where it was unpacked: `path` itself or a folder in it that holds all its files."""
    inside = sorted(path.glob("cifar-*")) if path.is_dir() else []
    whole = (*edition.train, *edition.validation)
    for folder in (path, *inside):
        if all((folder / name).is_file() for name in whole):
            return folder
    return None


def _in_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    edition = edition_of(path)
    folder = path if edition is None else _folder_of(path, edition) or path
    for file in sorted(folder.iterdir()):
        if file.is_file() and _wanted(file.name):
            _require_small(str(file), file.stat().st_size)
            try:
                yield file.name, file.read_bytes()
            except OSError as error:
                raise InputError(f"{file} must be readable, but is not: {error}") from error


def _require_small(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise InputError(f"{name} must be a file of CIFAR, but has {size:,} bytes")
