"""Pixels as a network sees them: normalised, at its size and channels, and disturbed if asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from hdap.fleet_data.errors import InputError
from hdap.image_files.labelled_pixels import LabelledPixels, PixelParts

SHIFT = 1 / 8
"""Of a side: 4 of CIFAR's 32 pixels, as is usual (He et al., CVPR 2016, 4.2)."""
EPOCHS_APART = 1_000_003


@dataclass(frozen=True)
class ImageView:
    """How pixels become numbers: the shape (C, H, W) that a network takes, and mean and deviation
    of pixels in 0..1, one number a channel or one for all."""

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, pixels: LabelledPixels, shape: tuple[int, int, int] | None = None) -> "ImageView":
        """As they are, or of another shape; mean 0 and deviation 1 over these images."""
        mean = float(pixels.pixels.mean()) / 255.0
        square = float(np.square(pixels.pixels, dtype=np.uint16).mean()) / 255.0**2
        deviation = max(square - mean**2, 0.0) ** 0.5 or 1.0
        channels, height, width = shape or pixels.pixels.shape[1:]
        return cls((channels, height, width), (mean,), (deviation,))


class PixelImages(Dataset[tuple[Tensor, int]]):
    """A map-style data set over pixels in memory, which stay bytes until they are asked for.

    With `augment` each image is shifted by up to an eighth of its side and, where mirror images
    show the same, mirrored at random; by seed, epoch and place alone. Raises `InputError` for a
    network of other channels than 1, 3 or those of the images.
    """

    def __init__(
        self, source: LabelledPixels, view: ImageView, *, augment: bool = False, seed: int = 0
    ) -> None:
        self._source, self._view, self._augment, self._seed = source, view, augment, seed
        channels, wanted = source.pixels.shape[1], view.shape[0]
        if channels != wanted and (channels, wanted) not in ((1, 3), (3, 1)):
            raise InputError(
                f"images of {channels} channel(s) go into networks that take 1, 3 or as many, but "
                f"this takes {wanted}; give data of its own by a factory"
            )
        self._pixels = torch.from_numpy(source.pixels)
        self.targets = source.labels.tolist()
        self.classes = source.classes
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Several at once, which is faster: torch's loaders ask so."""
        images = self._seen(self._disturbed(list(places)))
        return [(image, self.targets[place]) for image, place in zip(images, places, strict=True)]

    def plain(self) -> "PixelImages":
        """The same images as judging sees them."""
        return PixelImages(self._source, self._view)

    def set_epoch(self, epoch: int) -> None:
        """Draw the disturbance of every image for an epoch."""
        rng = torch.Generator().manual_seed(self._seed * EPOCHS_APART + epoch)
        count = len(self)
        self._mirrored = torch.rand(count, generator=rng) < 0.5 * self._source.mirrored
        self._pads = tuple(round(SHIFT * side) for side in self._pixels.shape[2:])
        self._from = [torch.randint(0, 2 * p + 1, (count,), generator=rng) for p in self._pads]

    def _disturbed(self, places: list[int]) -> Tensor:
        pixels = self._pixels[places]
        if not self._augment:
            return pixels
        height, width = pixels.shape[2:]
        padded = functional.pad(pixels, (self._pads[1],) * 2 + (self._pads[0],) * 2)
        rows = self._from[0][places][:, None] + torch.arange(height)
        columns = self._from[1][places][:, None] + torch.arange(width)
        columns = torch.where(self._mirrored[places][:, None], columns.flip(1), columns)
        every = torch.arange(len(places))
        # Indexed so, channels come last: n x H x W x C.
        return padded[every[:, None, None], :, rows[:, :, None], columns[:, None]].movedim(3, 1)

    def _seen(self, pixels: Tensor) -> Tensor:
        channels, *size = self._view.shape
        images = pixels.float() / 255.0
        if images.shape[1] == 3 and channels == 1:
            images = images.mean(dim=1, keepdim=True)
        if list(images.shape[2:]) != size:
            images = functional.interpolate(
                images, size=size, mode="bilinear", align_corners=False, antialias=True
            )
        mean, deviation = (
            _channelwise(x, channels) for x in (self._view.mean, self._view.deviation)
        )
        # One channel becomes as many as the network takes here, by broadcasting.
        return ((images - mean) / deviation).contiguous()


def pixel_data(
    parts: PixelParts, view: ImageView, *, augment: bool, seed: int = 0
) -> tuple[PixelImages, PixelImages]:
    """Training and validation part as data sets; only the first is disturbed."""
    return (
        PixelImages(parts.train, view, augment=augment, seed=seed),
        PixelImages(parts.validation, view),
    )


def _channelwise(numbers: tuple[float, ...], channels: int) -> Tensor:
    """`C x 1 x 1`; of another number of channels, their mean."""
    if len(numbers) != channels:
        numbers = (sum(numbers) / len(numbers),) * channels
    return torch.tensor(numbers)[:, None, None]
