"""`--data`: images by their path, or a factory of the user's own."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hdap.fleet_data.errors import HdapError, InputError
from hdap.image_files.cifar_files import edition_of, read_cifar
from hdap.image_files.idx_files import find_idx, read_idx_folder
from hdap.image_files.labelled_pixels import PixelParts
from hdap.image_files.pixel_images import ImageView, pixel_data
from hdap.networks.criteria import MAX_BATCHES, Batch
from hdap.networks.factories import find_factory, in_a_line, working_directory_importable
from hdap.training.batching import batches, chunks, shuffled
from hdap.training.datasets import Data, DataOptions, as_data, is_samples
from hdap.training.image_folders import folder_data

CRITERION_BATCH = 32
"""Images of a batch that a criterion looks at."""


def load_data(text: str, options: DataOptions | None = None) -> Data:
    """The data that `--data` names: images by their path, or `package.module:factory`.

    A folder holds one folder a class, or `train/` (and perhaps `val/`) with those; or MNIST's four
    idx files, or CIFAR's files as unpacked. A file is an archive of CIFAR. A factory takes no
    arguments and returns `Data`, a pair (train, validation) of map-style data sets, or one such
    data set. A validation part that is missing is split off by the seed.

    Raises `InputError` when there is no such folder or factory, no class, or no image, when
    images are unreadable, which are named, and for classes of a network of several inputs.
    """
    options, path = options or DataOptions(), Path(text)
    options.require_one_input()
    parts = _pixel_parts(path)
    if parts is not None:
        view = ImageView(options.image_shape, options.mean, options.deviation)
        return as_data(
            pixel_data(parts, view, augment=options.augment, seed=options.seed), text, options
        )
    if path.is_dir():
        return folder_data(path, options)
    if ":" not in text:
        raise InputError(
            f"`--data` must be a folder with one folder a class, a folder of idx files, CIFAR, or "
            f"`package.module:factory`, but {text!r} is none of them"
        )
    return as_data(_call_factory(text), text, options)


def image_readers(workers: int | None, data: str) -> int:
    """How many processes read images: as asked, else as many as a folder of them can use."""
    path = Path(data)
    if workers is not None:
        return workers
    in_memory = bool(find_idx(path)) or edition_of(path) is not None
    return min(8, os.cpu_count() or 1) if path.is_dir() and not in_memory else 0


def _pixel_parts(path: Path) -> PixelParts | None:
    """What idx files or CIFAR at `path` hold; None where there is something else."""
    if path.is_file():
        return read_cifar(path)
    if not path.is_dir():
        return None
    if find_idx(path):
        return read_idx_folder(path)
    return None if edition_of(path) is None else read_cifar(path)


def load_batches(name: str, options: DataOptions | None = None) -> Iterable[Batch]:
    """Batches (input, target) of what `--data` names.

    Of a folder of images, or of data sets that `package.module:factory` returns, the training part
    in an order that follows from the seed; a factory may also return an iterable of batches.

    Raises `InputError` as `load_data` does.
    """
    options = options or DataOptions()
    if Path(name).exists() or ":" not in name:
        return TrainingBatches(load_data(name, options), options.seed)
    found = _call_factory(name)
    pair = isinstance(found, tuple) and all(is_samples(part) for part in found)
    if isinstance(found, Data) or pair or is_samples(found):
        return TrainingBatches(as_data(found, name, options), options.seed)
    if not isinstance(found, Iterable):
        raise InputError(
            f"`{name}` must return data sets or an iterable of (input, target), but returned "
            f"{type(found).__name__}"
        )
    return found


class TrainingBatches:
    """Batches (input, target) of a training part, in an order that follows from the seed.

    Each iteration gives the same.
    """

    def __init__(self, data: Data, seed: int) -> None:
        self._samples = data.train
        self._places = shuffled(data.train, seed, 0)[: MAX_BATCHES * CRITERION_BATCH]

    def __iter__(self) -> Iterator[Batch]:
        return batches(self._samples, chunks(self._places, CRITERION_BATCH))


def _call_factory(text: str) -> Any:
    """What the data factory `package.module:factory` returns; raises `InputError` when it fails."""
    factory = find_factory(text, "`--data`, if it is no folder,")
    try:
        with working_directory_importable():
            return factory()
    except HdapError:
        raise  # it says by itself what must hold
    except Exception as error:
        raise InputError(
            f"`{text}` must return data when called without arguments, but failed with "
            f"{in_a_line(error)}"
        ) from error
