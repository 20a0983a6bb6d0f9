"""torchvision's SSDLite, as hdap takes networks: an image in, tensors out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList


class SsdLite(nn.Module):
    """The network of torchvision (`model`), from random weights.

    torchvision's own forward pass ends with steps whose shapes depend on what is found; this one
    ends before them in eval mode, so that it can be exported.
    """

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.input_shape = (3, side, side)
        self.model = ssdlite320_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=classes + 1
        )

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Of `n x 3 x side x side` in 0..1.

        With `targets` (as torchvision's detectors take them) its losses by name; else `n x anchors
        x (4 + classes)`: x1, y1, x2, y2 in pixels and a score in 0..1 for each class.
        """
        if targets is not None:
            losses: dict[str, Tensor] = self.model(list(images), targets)
            return losses
        features = list(self.model.backbone(2.0 * images - 1.0).values())
        heads = self.model.head(features)
        # anchors are those of one image: exported, they must not know how many there are
        one = ImageList(images, [(self.input_shape[1], self.input_shape[2])])
        (anchors,) = self.model.anchor_generator(one, features)
        boxes = _decoded(heads["bbox_regression"], anchors, self.model.box_coder.weights)
        return torch.cat([boxes, heads["cls_logits"].softmax(2)[..., 1:]], 2)


def ssd_loss(network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """The sum of torchvision's losses; it counts classes from 1, 0 is what is no object."""
    wanted = [
        {"boxes": boxes[mask], "labels": labels[mask] + 1}
        for boxes, labels, mask in zip(
            targets["boxes"], targets["labels"], targets["mask"], strict=True
        )
    ]
    losses: dict[str, Tensor] = network(images, wanted)
    return torch.stack(list(losses.values())).sum()


def _decoded(
    offsets: Tensor, anchors: Tensor, weights: tuple[float, float, float, float]
) -> Tensor:
    """Boxes `n x anchors x 4` of what the network says relative to its anchors."""
    size = anchors[:, 2:] - anchors[:, :2]
    middle = anchors[:, :2] + size / 2
    scale = offsets.new_tensor(weights)
    moved = offsets / scale
    centre = middle + moved[..., :2] * size
    half = moved[..., 2:].exp() * size / 2
    return torch.cat([centre - half, centre + half], 2)
