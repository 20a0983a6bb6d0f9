"""MNIST's file format: a header, then one byte a number; gzipped or not.

Described by Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.
Fashion-MNIST, EMNIST and KMNIST come in it.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.image_files.labelled_pixels import Bytes, LabelledPixels, PixelParts

UNSIGNED_BYTE = 0x08
KINDS = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP = b"\x1f\x8b"
MOST_BYTES = 2**32
"""What a whole file may hold: 5 million images of 28 x 28, and no header makes memory run out."""
PARTS = ("train", "t10k")


def find_idx(folder: Path) -> dict[str, Path]:
    """The files of `folder` by MNIST's names, `train-images` and so on; those that are there.

    Each may end in .gz, and may be written `train-images-idx3-ubyte` or `train-images.idx3-ubyte`.
    """
    found = {}
    for part in PARTS:
        for what, order in (("images", 3), ("labels", 1)):
            for name in (f"{part}-{what}-idx{order}-ubyte", f"{part}-{what}.idx{order}-ubyte"):
                for path in (folder / name, folder / f"{name}.gz"):
                    if path.is_file():
                        found[f"{part}-{what}"] = path
    return found


def read_idx_folder(
    folder: Path, classes: tuple[str, ...] | None = None, *, mirrored: bool = False
) -> PixelParts:
    """Both parts of a folder with MNIST's four files; images are `n x 1 x H x W`.

    Classes are called by their number where `classes` does not name them. Raises `InputError` when
    a file is missing or damaged.
    """
    files = find_idx(folder)
    missing = [f"{p}-{w}" for p in PARTS for w in ("images", "labels") if f"{p}-{w}" not in files]
    if missing:
        raise InputError(
            f"{folder} must hold MNIST's four files, but has no {', '.join(missing)} "
            "(-idx3-ubyte or -idx1-ubyte, perhaps .gz); fetch them into it"
        )
    images = {part: read_idx(files[f"{part}-images"], 3) for part in PARTS}
    labels = {part: read_idx(files[f"{part}-labels"], 1) for part in PARTS}
    most = max((int(own.max()) for own in labels.values() if own.size), default=0)
    names = classes or tuple(map(str, range(most + 1)))
    train, validation = (
        LabelledPixels(images[p][:, None], labels[p], names, str(files[f"{p}-images"]), mirrored)
        for p in PARTS
    )
    return PixelParts(train, validation)


def read_idx(path: Path, order: int) -> Bytes:
    """The array in an idx file of unsigned bytes with `order` dimensions.

    Raises `InputError` when the file cannot be read, is not such an array, or does not hold
    exactly as many numbers as its header says.
    """
    content = _content(path)
    start = 4 + 4 * order
    if len(content) < start or content[:2] != b"\0\0":
        raise InputError(
            f"{path} must be an idx file (two zero bytes, type, order), but begins with "
            f"{content[:4].hex(' ') or 'nothing'}; fetch it again"
        )
    if content[2] != UNSIGNED_BYTE or content[3] != order:
        kind = "uint8" if content[2] == UNSIGNED_BYTE else KINDS.get(content[2], "an unknown type")
        raise InputError(
            f"{path} must hold uint8 in {order} dimension(s), but holds {kind} in {content[3]}; "
            "images and labels may have changed places"
        )
    shape = struct.unpack(f">{order}I", content[4:start])
    if math.prod(shape) != len(content) - start:
        raise InputError(
            f"{path} must hold {' x '.join(map(str, shape))} bytes, as its header says, but holds "
            f"{len(content) - start:,}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP
        with gzip.open(path) if zipped else path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} must be a readable idx file, but reading it failed with "
            f"{type(error).__name__}: {error}; fetch it again"
        ) from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} must hold 4 GiB at most, but holds more; is it an idx file?")
    return content
