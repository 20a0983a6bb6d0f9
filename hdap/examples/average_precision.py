"""COCO's mean average precision of boxes (Lin et al., "Microsoft COCO", ECCV 2014)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from hdap.fleet_data.errors import InputError

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
RECALLS = torch.linspace(0, 1, 101, dtype=torch.float64)
"""At which precision is read."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in an image: `boxes` `k x 4` (x1, y1, x2, y2), `scores` and `labels` `k`."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Objects:
    """What is in an image: `boxes` `k x 4` and `labels` `k`."""

    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True)
class MeanPrecision:
    """Mean over the classes that are there: at an IoU of 0.5, and the mean over 0.5 to 0.95."""

    at_50: float
    at_50_95: float


def mean_average_precision(found: Sequence[Detections], there: Sequence[Objects]) -> MeanPrecision:
    """Of the detections of images, and of what is in the same images.

    Raises `InputError` where there are not as many of both, or no object at all.
    """
    if len(found) != len(there):
        raise InputError(
            f"detections must be of the images that are judged, but got {len(found)} for "
            f"{len(there)} images"
        )
    classes = sorted({int(label) for image in there for label in image.labels})
    if not classes:
        raise InputError("precision needs an object in some image, but there is none")
    shares = [_of_class(found, there, label) for label in classes]
    each = torch.tensor(shares, dtype=torch.float64)
    by_threshold = each.mean(0)
    return MeanPrecision(float(by_threshold[0]), float(by_threshold.mean()))


def _of_class(found: Sequence[Detections], there: Sequence[Objects], label: int) -> list[float]:
    """Average precision of a class at each threshold."""
    scores: list[Tensor] = []
    hits: list[Tensor] = []
    count = 0
    for image, truth in zip(found, there, strict=True):
        mine = image.labels == label
        order = image.scores[mine].argsort(descending=True, stable=True)
        objects = truth.boxes[truth.labels == label]
        scores.append(image.scores[mine][order])
        hits.append(_matched(box_iou(image.boxes[mine][order], objects)))
        count += len(objects)
    order = torch.cat(scores).argsort(descending=True, stable=True)
    return [_precision(row[order], count) for row in torch.cat(hits, 1)]


def _matched(ious: Tensor) -> Tensor:
    """Which detections (rows of `ious`, best first) are right, `thresholds x k`.

    Each takes the object that it covers best of those that no better one took.
    """
    right = torch.zeros(len(THRESHOLDS), len(ious), dtype=torch.bool)
    for row, threshold in enumerate(THRESHOLDS):
        free = torch.ones(ious.shape[1], dtype=torch.bool)
        for k, covered in enumerate(ious):
            left = torch.where(free, covered, -1.0)
            best = int(left.argmax()) if len(left) else -1
            if best >= 0 and left[best] >= threshold - 1e-9:
                right[row, k], free[best] = True, False
    return right


def _precision(right: Tensor, count: int) -> float:
    """The mean precision over recalls of detections, best first, with `count` objects to find."""
    hits = right.double().cumsum(0)
    if not len(hits):
        return 0.0
    precision = hits / torch.arange(1, len(hits) + 1)
    # precision at a recall is the best that is had at this recall or a higher one
    envelope = precision.flip(0).cummax(0).values.flip(0)
    place = torch.searchsorted(hits / count, RECALLS - 1e-9)
    reached = place < len(hits)
    return float(torch.where(reached, envelope[place.clamp(max=len(hits) - 1)], 0.0).mean())
