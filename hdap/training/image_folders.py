"""Folders of images: one folder a class, perhaps below `train/` and `val/`."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from hdap.fleet_data.errors import InputError
from hdap.training.batching import seeded
from hdap.training.datasets import Data, DataOptions, plain, split

VALIDATION_NAMES = ("val", "validation", "valid")
CROP = 0.875
"""Share of the shorter side that judging crops, as 224 of 256 (Krizhevsky et al., 2012)."""
_SHOWN = 3


@dataclass(frozen=True)
class _Files:
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[int, ...]


class Images:
    """Image files as a map-style data set; files are opened when an item is asked for.

    With `augment` each image is cropped and flipped at random, by seed, epoch and place alone, so
    that neither the number of workers nor a resumed run changes it.
    """

    def __init__(self, files: _Files, options: DataOptions, *, augment: bool) -> None:
        self._files, self._options = files, options
        self.classes = files.classes
        self.targets = list(files.labels)
        self._paths = files.paths
        self._mode = "L" if options.image_shape[0] == 1 else "RGB"
        self._seed = options.seed
        self._epoch = 0
        self._augment = augment
        self._transform = _augmentation(options) if augment else _judging(options)

    def __len__(self) -> int:
        return len(self._paths)

    def plain(self) -> "Images":
        """The same images as judging sees them."""
        return Images(self._files, self._options, augment=False)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next images are for."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self._paths[index]
        try:
            with Image.open(path) as image:
                picture = _of_bytes(image).convert(self._mode)
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{path} must be a readable image, but is not ({error})") from error
        return self._transformed(picture, index), self.targets[index]

    def _transformed(self, picture: Image.Image, index: int) -> Tensor:
        if not self._augment:
            result: Tensor = self._transform(picture)
            return result
        # torchvision draws from torch's global generator: lend it one of this image's own.
        with torch.random.fork_rng(devices=[]):
            own = seeded(self._seed, self._epoch).initial_seed() + index * 7_919
            torch.manual_seed(own)
            drawn: Tensor = self._transform(picture)
        return drawn


def folder_data(folder: Path, options: DataOptions) -> Data:
    """Data of a folder in ImageFolder layout; raises as `load_data`."""
    train_folder = folder / "train" if (folder / "train").is_dir() else folder
    files, skipped = _readable(_listed(train_folder), options)
    validation_folder = next(
        (folder / name for name in VALIDATION_NAMES if (folder / name).is_dir()), None
    )
    train = Images(files, options, augment=options.augment)
    if train_folder == folder or validation_folder is None:
        rest, held = split(train, options.validation_share, options.seed)
        return Data(rest, plain(held), len(files.classes), skipped)
    judged, also_skipped = _readable(_listed(validation_folder), options)
    if judged.classes != files.classes:
        different = sorted(set(judged.classes) ^ set(files.classes))
        raise InputError(
            f"{validation_folder} must have the classes of {train_folder}, but they differ in "
            f"{_some(different)}"
        )
    return Data(
        train,
        Images(judged, options, augment=False),
        len(files.classes),
        skipped + also_skipped,
    )


def _listed(folder: Path) -> _Files:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    paths: list[Path] = []
    labels: list[int] = []
    empty: list[str] = []
    for label, name in enumerate(names):
        found = [
            Path(root) / file
            for root, _, files in sorted(os.walk(folder / name, followlinks=True))
            for file in sorted(files)
            if file.lower().endswith(IMG_EXTENSIONS)
        ]
        if not found:
            empty.append(name)
        paths += found
        labels += [label] * len(found)
    if len(names) < 2 or empty:
        came = f"{_some(empty)} has no image" if empty else f"it has {len(names)} such folder(s)"
        raise InputError(
            f"{folder} must have one folder a class, two or more, each with images "
            f"({', '.join(IMG_EXTENSIONS[:3])}, ...), but {came}"
        )
    return _Files(tuple(names), tuple(paths), tuple(labels))


def _readable(files: _Files, options: DataOptions) -> tuple[_Files, tuple[str, ...]]:
    """The files that decode, and the others by name. Raises `InputError` where those must stop."""
    with ThreadPoolExecutor() as pool:
        good = list(pool.map(_decodes, files.paths, chunksize=64))
    bad = tuple(str(path) for path, fine in zip(files.paths, good, strict=True) if not fine)
    if bad and options.on_unreadable == "stop":
        raise InputError(
            "images must be readable, of whole numbers of 8 or 16 bits, but "
            f"{len(bad)} of {len(good):,} are not: {_some(bad)}; "
            "repair or remove them, or leave them out with --unreadable skip"
        )
    kept = [i for i, fine in enumerate(good) if fine]
    labels = tuple(files.labels[i] for i in kept)
    gone = sorted({files.classes[label] for label in set(files.labels) - set(labels)})
    if gone:
        raise InputError(
            f"every class must have a readable image, but {_some(gone)} has none; "
            "repair them or remove the class"
        )
    return _Files(files.classes, tuple(files.paths[i] for i in kept), labels), bad


def _of_bytes(image: Image.Image) -> Image.Image:
    """The image with 8 bits a number: Pillow itself makes all above 255 of 16 bits white."""
    if not _has_sixteen_bits(image):
        return image
    return Image.fromarray(np.rint(np.asarray(image) / 257.0).astype(np.uint8))


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Pillow opens some of them as 32 bits: those of PGM, and of PNG before its version 11."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _decodes(path: Path) -> bool:
    """Whether an image decodes to its end; JPEGs at an eighth of their size, which is fast.

    What white is in 32 bits, whole numbers or not, nobody says.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("I", "F") and not _has_sixteen_bits(image):
                return False
            image.draft("RGB", (32, 32))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _augmentation(options: DataOptions) -> Any:
    size = list(options.image_shape[1:])
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            *_numbers(options),
        ]
    )


def _judging(options: DataOptions) -> Any:
    _, height, width = options.image_shape
    larger = (
        [round(height / CROP), round(width / CROP)] if height != width else [round(height / CROP)]
    )
    return v2.Compose(
        [v2.Resize(larger, antialias=True), v2.CenterCrop([height, width]), *_numbers(options)]
    )


def _numbers(options: DataOptions) -> list[Any]:
    channels = options.image_shape[0]
    mean, deviation = (_channels(x, channels) for x in (options.mean, options.deviation))
    return [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(mean), list(deviation)),
    ]


def _channels(numbers: Sequence[float], channels: int) -> Sequence[float]:
    """One number a channel; of three where one is needed, their mean."""
    if len(numbers) == channels:
        return numbers
    return [sum(numbers) / len(numbers)] * channels


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
