"""What a network is trained and judged on: `--data` as a folder of images or as a factory."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import timm
import torch
from torch.utils.data import IterableDataset, Subset

from hdap.fleet_data.architecture import InputShapes
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import base_name, kind_of_model, written


@runtime_checkable
class Samples(Protocol):
    """A map-style data set: item i is (float tensor as the network takes it, label)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Data:
    """Images to learn from and others to judge by, of `classes` classes; None: of no classes, for
    a loss of the user's own.

    `train` may have `set_epoch(number)`, which is called before each epoch: how augmentation
    differs between epochs and still follows from a seed; and `plain()`, the same images without it.
    `skipped` says which files were left out. Raises `InputError` when a part is empty or there are
    less than two classes.
    """

    train: Samples
    validation: Samples
    classes: int | None
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, part in (("training", self.train), ("validation", self.validation)):
            if not len(part):
                raise InputError(f"the {name} part of the data must hold samples, but is empty")
        if self.classes is not None and self.classes < 2:
            raise InputError(f"data must have two classes or more, but got {self.classes}")


@dataclass(frozen=True)
class DataOptions:
    """How `load_data` reads.

    `input_shape` is what the network takes, (C, H, W) for images; `mean` and `deviation` are of
    pixels in 0..1, one number a channel (or one for all). Where the data has no validation part,
    `validation_share` of the training part becomes it, chosen by `seed`. `on_unreadable` is `stop`
    or `skip`; `augment` crops and flips training images at random. Where samples are not `labelled`
    by class they are of any structure, and nobody counts their classes.
    """

    input_shape: InputShapes = (3, 224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    deviation: tuple[float, ...] = (0.229, 0.224, 0.225)
    validation_share: float = 0.1
    seed: int = 0
    on_unreadable: str = "stop"
    augment: bool = True
    labelled: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.validation_share < 1.0:
            raise InputError(
                "`0 < validation_share < 1` must hold for data without a validation part, but got "
                f"{self.validation_share}"
            )
        if self.on_unreadable not in ("stop", "skip"):
            raise InputError(
                f"unreadable images `stop` or are `skip`ped, but got {self.on_unreadable!r}"
            )

    def require_one_input(self) -> None:
        """Raises `InputError` for a network of several inputs that is to learn classes."""
        if self.labelled and isinstance(self.input_shape, dict):
            raise InputError(
                f"data of classes is for networks of one input, but this takes "
                f"{written(self.input_shape)}; give a loss of your own, whose batches are as your "
                "data has them: --loss package.module:function"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width. Raises `InputError` for a network that takes no images."""
        if isinstance(self.input_shape, dict) or len(self.input_shape) != 3:
            raise InputError(
                f"files of images are for networks that take channels x height x width, but this "
                f"takes {written(self.input_shape)}; give data of its own: package.module:factory"
            )
        channels, height, width = self.input_shape
        return channels, height, width

    @classmethod
    def of_model(cls, model: str, input_shape: InputShapes, seed: int) -> "DataOptions":
        """As the network called `model` takes images; timm knows the colours of its own."""
        options = cls(input_shape=input_shape, seed=seed)
        if kind_of_model(model) != "timm":
            return options
        known = timm.get_pretrained_cfg(base_name(model), allow_unregistered=True)
        if known is None:
            return options
        return replace(options, mean=tuple(known.mean), deviation=tuple(known.std))


def as_data(found: Any, name: str, options: DataOptions) -> Data:
    """`Data`, a pair of data sets or one data set as `Data`; `name` is for the error."""
    if isinstance(found, Data):
        return found
    train, validation = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    for part in (train, validation):
        if part is not None and not is_samples(part):
            raise InputError(
                f"`{name}` must return hdap.training.datasets.Data or a pair (train, validation) "
                f"of map-style data sets, but returned {_kind(found)}"
            )
    classes = _class_count(train, name) if options.labelled else None
    if validation is None:
        train, validation = split(train, options.validation_share, options.seed)
    return Data(train, validation, classes)


def is_samples(found: Any) -> bool:
    """Whether it is a map-style data set: items by number, and no plain collection."""
    plain = isinstance(found, tuple | list | dict | str | torch.Tensor | IterableDataset)
    return not plain and isinstance(found, Samples)


def split(samples: Samples, share: float, seed: int) -> tuple[Samples, Samples]:
    """(rest, held out): `share` of the samples, at least one, chosen by a seed.

    Raises `InputError` when there are fewer than two samples.
    """
    count = len(samples)
    if count < 2:
        raise InputError(
            f"data must hold two samples or more to hold some of them out, but has {count}"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    held = min(max(1, round(share * count)), count - 1)
    return part(samples, sorted(order[held:])), part(samples, sorted(order[:held]))


def hold_out(data: Data, share: float, seed: int) -> tuple[Data, Samples]:
    """The data with less to learn from, and the `share` of the training part that it lost.

    What is held out is seen as in judging, not augmented. Raises as `split`.
    """
    rest, held = split(data.train, share, seed)
    return replace(data, train=rest), plain(held)


def plain(samples: Any) -> Samples:
    """Training samples as judging sees them, where the data set can tell (`plain()`)."""
    found: Samples = samples.plain() if hasattr(samples, "plain") else samples
    return found


def part(samples: Samples, places: Sequence[int]) -> Samples:
    """The samples at these places; epochs reach the data set that they are from."""
    return _Part(samples, places)


class _Part(Subset[Any]):
    def __init__(self, samples: Samples, places: Sequence[int]) -> None:
        super().__init__(samples, places)  # type: ignore[arg-type]  # map-style is enough

    @property
    def targets(self) -> list[int] | None:
        whole = _labels(self.dataset)
        return None if whole is None else [whole[i] for i in self.indices]

    def plain(self) -> Samples:
        return part(plain(self.dataset), self.indices)

    def set_epoch(self, epoch: int) -> None:
        set_epoch(self.dataset, epoch)


def set_epoch(samples: Any, epoch: int) -> None:
    """Tell a data set which epoch begins, if it wants to know."""
    if hasattr(samples, "set_epoch"):
        samples.set_epoch(epoch)


def _class_count(samples: Any, name: str) -> int:
    names = getattr(samples, "classes", None)
    if isinstance(names, int):
        return names
    if isinstance(names, Sized):
        return len(names)
    labels = _labels(samples)
    if labels is None:
        labels = [_label(samples, i, name) for i in range(len(samples))]
    return max(labels, default=-1) + 1


def _label(samples: Any, place: int, name: str) -> int:
    try:
        item = samples[place]
    except Exception as error:  # the user's code may raise anything
        raise InputError(
            f"samples of `{name}` must be readable, but sample {place} fails with "
            f"{type(error).__name__}: {error}"
        ) from error
    try:
        return int(item[1])
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"samples of `{name}` must be (image, integer label), but are {_kind(item)}; for "
            "another task give a loss of your own: --loss package.module:function"
        ) from error


def _labels(samples: Any) -> list[int] | None:
    """The labels that a data set tells without being read; None where they are no integers."""
    found = getattr(samples, "targets", None)
    try:
        return None if found is None else [int(label) for label in found]
    except (TypeError, ValueError, RuntimeError):
        return None


def _kind(found: Any) -> str:
    if isinstance(found, tuple):
        return f"({', '.join(type(part).__name__ for part in found)})"
    return type(found).__name__
