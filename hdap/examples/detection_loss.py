"""What the detector learns: which points an object is, and the loss over them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from hdap.examples.detection_network import STRIDES, decoded, grid

REACH = 3.0
"""A scale takes objects whose farthest side is at most this many strides from the point."""
CENTRE = 1.5
"""Points within this many strides of an object's centre are the object's."""
BOX_WEIGHT = 2.0


def detection_loss(maps: Sequence[Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Generalised IoU of the boxes plus binary cross-entropy of the classes, a scalar.

    `maps` are a detector's in training mode, `targets` those of a batch. The class of a point that
    is an object's is wanted with the IoU that its box has (Li et al., "Generalized Focal Loss",
    NeurIPS 2020), so that scores say how good boxes are.
    """
    boxes, logits = decoded([scale.float() for scale in maps])
    points, strides = grid([scale.float() for scale in maps])
    owner = assigned(points, strides, targets["boxes"], targets["mask"])
    image, point = torch.nonzero(owner >= 0, as_tuple=True)
    row = owner[image, point]
    found, true = boxes[image, point], targets["boxes"][image, row].to(boxes.dtype)
    wanted = torch.zeros_like(logits)
    wanted[image, point, targets["labels"][image, row]] = _iou(found.detach(), true)
    total = wanted.sum().clamp(min=1.0)
    classes: Tensor = (
        functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / total
    )
    shape: Tensor = generalized_box_iou_loss(found, true, reduction="sum") / max(1, len(row))
    return classes + BOX_WEIGHT * shape


def assigned(points: Tensor, strides: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
    """Which of its image's objects each point is, `n x points`; -1: none.

    `boxes` `n x m x 4` count where `mask` `n x m` says so. A point is an object's where it lies
    near its centre and the object is of its scale's size; of several the smallest (Tian et al.,
    "FCOS", ICCV 2019, 3.2, with centre sampling).
    """
    corners = boxes[:, None]
    sides = torch.cat([points[:, None] - corners[..., :2], corners[..., 2:] - points[:, None]], 3)
    middle = (corners[..., :2] + corners[..., 2:]) / 2
    near = ((points[:, None] - middle).abs() < CENTRE * strides[:, None, None]).all(3)
    farthest = sides.amax(3) / strides[:, None]
    low = torch.where(strides == STRIDES[0], 0.0, REACH / 2)[:, None]
    high = torch.where(strides == STRIDES[-1], torch.inf, REACH)[:, None]
    fits = (sides.amin(3) > 0) & near & (farthest > low) & (farthest <= high) & mask[:, None]
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    smallest, owner = torch.where(fits, areas[:, None], torch.inf).min(2)
    return torch.where(smallest.isfinite(), owner, -1)


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """Of boxes `k x 4` and `k x 4`, pair by pair: `k`."""
    low = torch.maximum(first[:, :2], second[:, :2])
    common = (torch.minimum(first[:, 2:], second[:, 2:]) - low).clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (first, second)]
    return common / (areas[0] + areas[1] - common).clamp(min=1e-9)
