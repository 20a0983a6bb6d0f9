"""Shapes on textures, drawn when they are asked for: what a detector can learn in minutes."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision.ops import box_iou

from hdap.fleet_data.errors import InputError

CLASSES = ("disc", "square", "triangle", "cross")
MOST = 4
"""Shapes of an image; boxes are filled up to this number."""
SMALLEST, LARGEST = 0.16, 0.42
"""Diameter of a shape's circle, as a part of the image's side."""
OVERLAP = 0.05
"""IoU that two boxes of an image may have."""

Item = tuple[Tensor, dict[str, Tensor]]


class DrawnShapes(Dataset[Item]):
    """`count` images of `side` pixels; the same seed, epoch and place give the same image.

    An item is an image `3 x side x side` in 0..1 and `boxes` `MOST x 4` (x1, y1, x2, y2 in pixels),
    `labels` `MOST` and `mask` `MOST`, which says what is a shape and what fills up. `fixed` images
    are the same in all epochs. Raises `InputError` where there is nothing to draw.
    """

    classes = CLASSES

    def __init__(self, count: int, side: int, *, seed: int, fixed: bool = False) -> None:
        if count < 1 or side < 32:
            raise InputError(f"`count >= 1` and `side >= 32` must hold, but got {count=}, {side=}")
        self._count, self._side, self._seed, self._fixed = count, side, seed, fixed
        self._epoch = 0

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next images are for."""
        self._epoch = 0 if self._fixed else epoch

    def plain(self) -> "DrawnShapes":
        """Images that stay the same in all epochs."""
        return DrawnShapes(self._count, self._side, seed=self._seed, fixed=True)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < self._count:
            raise IndexError(index)
        place = (self._seed * 1_000 + self._epoch) * 1_000_003 + index
        return draw(self._side, torch.Generator().manual_seed(place))


def draw(side: int, rng: torch.Generator) -> Item:
    """An image and what is in it, an item of `DrawnShapes`."""
    image = _texture(side, rng)
    boxes, labels = torch.zeros(MOST, 4), torch.zeros(MOST, dtype=torch.long)
    wanted = 1 + int(torch.randint(MOST, (1,), generator=rng))
    count = 0
    for _ in range(3 * wanted):
        if count == wanted:
            break
        label = int(torch.randint(len(CLASSES), (1,), generator=rng))
        inside = _shape(label, side, rng)
        box = _extent(inside)
        if count and box_iou(box[None], boxes[:count]).max() > OVERLAP:
            continue
        image = torch.where(inside, _texture(side, rng), image)
        boxes[count], labels[count] = box, label
        count += 1
    noisy = image + 0.03 * torch.randn(image.shape, generator=rng)
    targets = {"boxes": boxes, "labels": labels, "mask": torch.arange(MOST) < count}
    return noisy.clamp(0, 1), targets


def _texture(side: int, rng: torch.Generator) -> Tensor:
    """A colour that varies softly, `3 x side x side`."""
    colour = torch.rand(1, 3, 1, 1, generator=rng)
    coarse = torch.randn(1, 3, 6, 6, generator=rng)
    soft = functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)
    return (colour + 0.08 * soft)[0]


def _shape(label: int, side: int, rng: torch.Generator) -> Tensor:
    """The pixels of a turned shape that lies inside of the image, `side x side`."""
    scale, x, y, turn = torch.rand(4, generator=rng).tolist()
    radius = side * (SMALLEST + scale * (LARGEST - SMALLEST)) / 2
    centre_x, centre_y = (radius + place * (side - 2 * radius) for place in (x, y))
    pixels = torch.arange(side) + 0.5
    across, down = (pixels[None] - centre_x) / radius, (pixels[:, None] - centre_y) / radius
    sine, cosine = math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)
    u, v = cosine * across + sine * down, cosine * down - sine * across
    inside: Tensor
    match CLASSES[label]:
        case "disc":
            inside = u.square() + v.square() < 1
        case "square":
            inside = torch.maximum(u.abs(), v.abs()) < math.sqrt(0.5)
        case "triangle":
            edges = [(0.0, 1.0), (math.sqrt(0.75), -0.5), (-math.sqrt(0.75), -0.5)]
            inside = torch.stack([a * u + b * v < 0.5 for a, b in edges]).all(0)
        case _:
            arms = torch.minimum(u.abs(), v.abs()) < 0.25
            inside = arms & (torch.maximum(u.abs(), v.abs()) < 0.95)
    return inside


def _extent(inside: Tensor) -> Tensor:
    """The smallest box (x1, y1, x2, y2) around pixels."""
    rows, columns = (torch.nonzero(inside.any(axis)).flatten() for axis in (1, 0))
    ends = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return torch.stack(ends).float()
