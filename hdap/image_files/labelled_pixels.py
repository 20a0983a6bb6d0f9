"""Images of one size with their classes, as files hold them: what every reader gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.errors import InputError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LabelledPixels:
    """Pixels `n x C x H x W` in 0..255, labels `n`, and a name for each class.

    `mirrored` says whether a mirror image shows the same class: true of things, not of digits.
    Raises `InputError` when there is no image, when labels are not as many as images, or when one
    is no class; `source` names them in the message.
    """

    pixels: Bytes
    labels: Bytes
    classes: tuple[str, ...]
    source: str
    mirrored: bool = True

    def __post_init__(self) -> None:
        if not self.pixels.size:
            raise InputError(
                f"{self.source} must hold images, but they are {self.pixels.shape[0]} of "
                f"{' x '.join(map(str, self.pixels.shape[1:]))}; fetch it again"
            )
        if len(self.labels) != len(self.pixels):
            raise InputError(
                f"{self.source} must hold a label an image, but has {len(self.labels):,} labels "
                f"and {len(self.pixels):,} images; fetch both files again"
            )
        if self.labels.max() >= len(self.classes):
            raise InputError(
                f"labels of {self.source} must be in 0..{len(self.classes) - 1}, but one is "
                f"{self.labels.max()}; fetch it again"
            )


@dataclass(frozen=True, eq=False)
class PixelParts:
    """What is learned from and what is judged by."""

    train: LabelledPixels
    validation: LabelledPixels

    def __post_init__(self) -> None:
        one, other = self.train.pixels.shape[1:], self.validation.pixels.shape[1:]
        if one != other:
            raise InputError(
                f"both parts must have images of one shape, but {self.train.source} has {one} and "
                f"{self.validation.source} {other}; fetch both again"
            )
