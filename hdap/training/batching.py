"""Batches of a data set: in order for judging, shuffled by a seed and an epoch for training."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.data import DataLoader

from hdap.fleet_data.errors import HdapError, InputError
from hdap.training.datasets import Samples

Batch = tuple[Tensor, Tensor]
T = TypeVar("T")


def shuffled(samples: Samples, seed: int, epoch: int) -> list[int]:
    """Places of all samples in the order of an epoch; the same seed and epoch, the same order."""
    return torch.randperm(len(samples), generator=seeded(seed, epoch)).tolist()


def seeded(seed: int, epoch: int) -> torch.Generator:
    """A generator for one epoch of one run."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)


def chunks(order: Sequence[int], size: int) -> list[list[int]]:
    """Places in groups of `size`, in order; the last group may be smaller."""
    return [list(order[start : start + size]) for start in range(0, len(order), size)]


def batches(
    samples: Samples,
    groups: Sequence[list[int]],
    *,
    workers: int = 0,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Iterator[Batch]:
    """For each group of places its inputs `n x ...` (images: `n x C x H x W`) and labels `n`, on
    `device`.

    `seed` is what worker processes start their own generators from. Raises `InputError` when
    samples are no inputs of one shape with integer labels, or when the user's code fails on one.
    """
    found = map(_checked, _loaded(samples, groups, workers, device, seed))
    return _read(found, "(float tensor, integer label) of one shape")


def any_batches(
    samples: Samples,
    groups: Sequence[list[int]],
    *,
    workers: int = 0,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Iterator[Any]:
    """For each group of places what torch's `default_collate` makes of its samples.

    That is nested as the samples are; its tensors are on `device`. Other arguments as for
    `batches`. Raises `InputError` when samples do not collate, or the user's code fails on one.
    """
    found = _loaded(samples, groups, workers, device, seed)
    return _read(found, "of one structure, with tensors of one shape")


def _loaded(
    samples: Samples,
    groups: Sequence[list[int]],
    workers: int,
    device: torch.device | str,
    seed: int,
) -> Iterator[Any]:
    target = torch.device(device)
    loader: DataLoader[Any] = DataLoader(
        samples,  # type: ignore[arg-type]  # any object with a length and items will do
        batch_sampler=groups,
        num_workers=workers,
        pin_memory=target.type == "cuda",
        generator=torch.Generator().manual_seed(seed),
    )
    for batch in loader:
        yield tree_map_only(Tensor, lambda part: part.to(target, non_blocking=True), batch)


def _read(found: Iterator[T], form: str) -> Iterator[T]:
    """The same batches; what reading one raises becomes an `InputError` that asks for `form`."""
    try:
        yield from found
    except HdapError as error:
        raise InputError(_cause(error)) from error
    except Exception as error:  # the user's code may raise anything
        raise InputError(
            f"samples must be {form}, but reading a batch failed with {type(error).__name__}: "
            f"{_cause(error)}"
        ) from error


def _cause(error: Exception) -> str:
    """What went wrong; an error of a worker process comes with its traceback around it."""
    lines = str(error).strip().splitlines() or [""]
    if not lines[0].startswith("Caught "):
        return lines[0]
    return lines[-1].partition(": ")[2] or lines[-1]


def _checked(batch: Any) -> Batch:
    pair = isinstance(batch, list | tuple) and len(batch) == 2
    if pair and all(isinstance(part, Tensor) for part in batch):
        images, labels = batch
        if images.dim() > 1 and images.is_floating_point() and labels.dim() == 1:
            return images, labels.long()
        what = f"{images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}"
    else:
        what = type(batch).__name__
    raise InputError(
        "a batch must be float inputs, n x C x H x W where they are images, and n integer labels, "
        f"but is {what}; let the data set give (float tensor, int)"
    )
