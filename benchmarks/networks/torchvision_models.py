"""torchvision's segmenters and detectors as factories that download nothing.

A detector is asked in two ways. Whole, as torchvision gives it: it takes a batch of images of one
size (the model makes the list itself) and gives a list of dictionaries whose sizes depend on the
numbers in the image, because boxes that overlap are dropped. And its layers alone, up to the
tensors from which boxes are read: that is what a device gets when the boxes are made elsewhere, and
all that could be pruned.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.models import detection, segmentation


class DetectorLayers(nn.Module):
    """Backbone and head of a detector of one stage, or backbone and region proposals of one of two.

    Gives the tensors of the head, nested as torchvision nests them.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone: nn.Module = detector.get_submodule("backbone")
        one_stage = hasattr(detector, "head")
        self.head: nn.Module = detector.get_submodule("head" if one_stage else "rpn.head")

    def forward(self, images: Tensor) -> Any:
        return self.head(list(self.backbone(images).values()))


@dataclass(frozen=True)
class Factory:
    """A callable without arguments, as `hdap model` takes it."""

    build: Callable[..., nn.Module]
    input_shape: tuple[int, int, int]
    layers_alone: bool = False

    def __call__(self) -> nn.Module:
        network = self.build(weights=None, weights_backbone=None)
        return DetectorLayers(network) if self.layers_alone else network


_SIDE = (3, 224, 224)
_SMALL, _SSD = (3, 320, 320), (3, 300, 300)

fcn_resnet50 = Factory(segmentation.fcn_resnet50, _SIDE)
deeplabv3_resnet50 = Factory(segmentation.deeplabv3_resnet50, _SIDE)
deeplabv3_mobilenet_v3_large = Factory(segmentation.deeplabv3_mobilenet_v3_large, _SIDE)
lraspp_mobilenet_v3_large = Factory(segmentation.lraspp_mobilenet_v3_large, _SIDE)

ssdlite320 = Factory(detection.ssdlite320_mobilenet_v3_large, _SMALL)
ssd300 = Factory(detection.ssd300_vgg16, _SSD)
retinanet = Factory(detection.retinanet_resnet50_fpn, _SMALL)
fcos = Factory(detection.fcos_resnet50_fpn, _SMALL)
fasterrcnn = Factory(detection.fasterrcnn_resnet50_fpn, _SMALL)
fasterrcnn_mobilenet = Factory(detection.fasterrcnn_mobilenet_v3_large_320_fpn, _SMALL)
maskrcnn = Factory(detection.maskrcnn_resnet50_fpn, _SMALL)
keypointrcnn = Factory(detection.keypointrcnn_resnet50_fpn, _SMALL)

ssdlite320_layers = Factory(detection.ssdlite320_mobilenet_v3_large, _SMALL, True)
ssd300_layers = Factory(detection.ssd300_vgg16, _SSD, True)
retinanet_layers = Factory(detection.retinanet_resnet50_fpn, _SMALL, True)
fcos_layers = Factory(detection.fcos_resnet50_fpn, _SMALL, True)
fasterrcnn_layers = Factory(detection.fasterrcnn_resnet50_fpn, _SMALL, True)

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "torchvision segmentation": (
        "fcn_resnet50",
        "deeplabv3_resnet50",
        "deeplabv3_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large",
    ),
    "torchvision detection": (
        "ssdlite320",
        "ssd300",
        "retinanet",
        "fcos",
        "fasterrcnn",
        "fasterrcnn_mobilenet",
        "maskrcnn",
        "keypointrcnn",
    ),
    "torchvision detectors' layers": (
        "ssdlite320_layers",
        "ssd300_layers",
        "retinanet_layers",
        "fcos_layers",
        "fasterrcnn_layers",
    ),
}
"""Names of the factories above by family."""
