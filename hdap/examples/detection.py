"""Detectors, what they learn and how they are judged, all by name: `hdap.examples.detection:...`.

`detector` is ours (3 x 128 x 128), `ssdlite` torchvision's (3 x 320 x 320). `--data`: `shapes` and
`shapes320`; `--loss`: `loss` and `ssdlite_loss`; `--metric`, for both: `map50` and `map50_95`.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from hdap.examples.average_precision import (
    Detections,
    MeanPrecision,
    Objects,
    mean_average_precision,
)
from hdap.examples.detection_loss import detection_loss
from hdap.examples.detection_network import Detector, detections
from hdap.examples.drawn_shapes import CLASSES, DrawnShapes
from hdap.examples.ssdlite import SsdLite, ssd_loss

SIDE, SSD_SIDE = 128, 320
TRAIN, VALIDATION = 1024, 256
"""Images of a part; those to learn from are drawn anew in every epoch."""

Batch = tuple[Tensor, dict[str, Tensor]]
"""Images `n x 3 x H x W` in 0..1; `boxes` `n x m x 4` (x1, y1, x2, y2 in pixels), `labels` `n x m`
and `mask` `n x m`, which says what is an object and what fills up."""


def detector() -> nn.Module:
    """Ours for 3 x 128 x 128 and the drawn shapes, from random weights."""
    return Detector(len(CLASSES), SIDE)


def ssdlite() -> nn.Module:
    """SSDLite with MobileNetV3 (Howard et al., ICCV 2019) of torchvision, from random weights."""
    return SsdLite(len(CLASSES), SSD_SIDE)


def shapes() -> tuple[DrawnShapes, DrawnShapes]:
    """Training and validation part, 3 x 128 x 128."""
    return DrawnShapes(TRAIN, SIDE, seed=0), DrawnShapes(VALIDATION, SIDE, seed=1, fixed=True)


def shapes320() -> tuple[DrawnShapes, DrawnShapes]:
    """The same drawn at 3 x 320 x 320."""
    return (
        DrawnShapes(TRAIN, SSD_SIDE, seed=0),
        DrawnShapes(VALIDATION, SSD_SIDE, seed=1, fixed=True),
    )


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Of `detector` in training mode, whose output is raw maps."""
    images, targets = batch
    return detection_loss(network(images), targets)


def ssdlite_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Of `ssdlite` in training mode: the sum of torchvision's own losses."""
    return ssd_loss(network, *batch)


def map50(network: nn.Module, batches: Iterable[Batch]) -> float:
    """COCO's mean average precision at an IoU of 0.5 of a network in eval mode."""
    return precision(network, batches).at_50


def map50_95(network: nn.Module, batches: Iterable[Batch]) -> float:
    """COCO's mean average precision, the mean over IoUs of 0.5 to 0.95."""
    return precision(network, batches).at_50_95


@torch.no_grad()
def precision(network: Callable[[Tensor], Tensor], batches: Iterable[Batch]) -> MeanPrecision:
    """Both, of anything that gives `n x points x (4 + classes)` as the detectors do."""
    found: list[Detections] = []
    there: list[Objects] = []
    for images, targets in batches:
        found += [detections(output) for output in network(images).cpu()]
        for boxes, labels, mask in zip(
            *(targets[name].cpu() for name in ("boxes", "labels", "mask")), strict=True
        ):
            there.append(Objects(boxes[mask], labels[mask]))
    return mean_average_precision(found, there)
