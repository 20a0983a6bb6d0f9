"""Scikit-learn's handwritten digits as data factories: `--data hdap.examples.digits:digits`.

1,797 images of 8 x 8 pixels in ten classes: the test set of E. Alpaydin and C. Kaynak, "Optical
Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998. It comes with
scikit-learn, so nothing is downloaded.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from hdap.fleet_data.errors import InputError

SIDE = 8
CLASSES = tuple(str(digit) for digit in range(10))
VALIDATION_SHARE = 0.25
SPLIT_SEED = 0


@dataclass(frozen=True, eq=False)
class Digits(Dataset[tuple[Tensor, int]]):
    """Images `n x C x H x W` of mean 0 and deviation 1 over the training part, and labels `n`."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


def digits() -> tuple[Digits, Digits]:
    """Training and validation part as they are, 1 x 8 x 8."""
    return split_digits()


def digits_rgb32() -> tuple[Digits, Digits]:
    """The same up-scaled to 3 x 32 x 32, for networks that were made for photographs."""
    return split_digits(side=32, channels=3)


def split_digits(
    *,
    side: int = SIDE,
    channels: int = 1,
    validation_share: float = VALIDATION_SHARE,
    seed: int = SPLIT_SEED,
) -> tuple[Digits, Digits]:
    """Training and validation part, split by class (1,347 and 450 images by default).

    Images are up-scaled bilinearly to `side` pixels and repeated over `channels`. Raises
    `InputError` when a number is out of range.
    """
    if side < SIDE or channels < 1:
        raise InputError(
            f"digits are scaled up to `side >= {SIDE}` and `channels >= 1`, "
            f"but got {side=}, {channels=}"
        )
    if not 0.01 <= validation_share <= 0.99:
        raise InputError(
            f"`0.01 <= validation_share <= 0.99` must hold, but got {validation_share=}: "
            f"{VALIDATION_SHARE} is usual"
        )
    found = load_digits()
    images = torch.from_numpy(found.images.astype(np.float32))[:, None]
    labels = torch.from_numpy(found.target.astype(np.int64))
    train, validation = train_test_split(
        np.arange(len(labels)),
        test_size=validation_share,
        random_state=seed,
        stratify=found.target,
    )
    images = (images - images[train].mean()) / images[train].std()
    if side != SIDE:
        images = functional.interpolate(
            images, size=(side, side), mode="bilinear", align_corners=False
        )
    images = images.repeat(1, channels, 1, 1)
    return Digits(images[train], labels[train]), Digits(images[validation], labels[validation])
