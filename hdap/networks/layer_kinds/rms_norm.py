"""Root-mean-square norms (Zhang and Sennrich, NeurIPS 2019): torch's, and timm's for images too."""

from typing import Any

from timm.layers.norm import RmsNorm, RmsNorm2d, SimpleNorm, SimpleNorm2d
from torch import Tensor, nn

from hdap.networks.layer_kinds.base import LayerKind

_IMAGES = (RmsNorm2d, SimpleNorm2d)


class RMSNormKind(LayerKind):
    modules = (nn.RMSNorm, RmsNorm, SimpleNorm, *_IMAGES)
    tensors = ("weight",)
    opaque = True

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (RmsNorm2d(channels),)

    def channels(self, layer: nn.Module) -> tuple[int, int]:
        count = _shape(layer)[-1]
        return count, count

    def channel_dim(self, layer: nn.Module, images: Tensor) -> int:
        return 1 if isinstance(layer, _IMAGES) else -1

    def mixes(self, layer: nn.Module) -> bool:
        return True

    def attributes(self, layer: nn.Module, inputs: int | None, outputs: int) -> dict[str, Any]:
        return {"normalized_shape": (*_shape(layer)[:-1], outputs)}


def _shape(layer: nn.Module) -> tuple[int, ...]:
    shape = layer.normalized_shape
    assert isinstance(shape, tuple)
    return shape
