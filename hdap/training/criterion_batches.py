"""Batches of the user's own data, for criteria that look at some."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hdap.fleet_data.errors import InputError
from hdap.networks.criteria import MAX_BATCHES, Batch
from hdap.training.batching import batches, chunks, shuffled
from hdap.training.datasets import Data, DataOptions, as_data, is_samples
from hdap.training.load_data import call_factory, load_data

BATCH = 32


class TrainingBatches:
    """Batches (input, target) of a training part, in an order that follows from the seed.

    Each iteration gives the same.
    """

    def __init__(self, data: Data, seed: int) -> None:
        self._samples = data.train
        self._places = shuffled(data.train, seed, 0)[: MAX_BATCHES * BATCH]

    def __iter__(self) -> Iterator[Batch]:
        return batches(self._samples, chunks(self._places, BATCH))


def load_batches(name: str, options: DataOptions | None = None) -> Iterable[Batch]:
    """Batches (input, target) of what `--data` names.

    Of a folder of images, or of data sets that `package.module:factory` returns, the training part
    in an order that follows from the seed; a factory may also return an iterable of batches.

    Raises `InputError` as `load_data` does.
    """
    options = options or DataOptions()
    if Path(name).is_dir() or ":" not in name:
        return TrainingBatches(load_data(name, options), options.seed)
    found = call_factory(name)
    pair = isinstance(found, tuple) and all(is_samples(part) for part in found)
    if isinstance(found, Data) or pair or is_samples(found):
        return TrainingBatches(as_data(found, name, options), options.seed)
    if not isinstance(found, Iterable):
        raise InputError(
            f"`{name}` must return data sets or an iterable of (input, target), but returned "
            f"{type(found).__name__}"
        )
    return found
