"""Layer norms over channels, which lie last; timm's for images move them there and back."""

from typing import Any

from torch import Tensor, nn

from hdap.networks.layer_kinds.base import LayerKind


class LayerNormKind(LayerKind):
    modules = (nn.LayerNorm,)
    output_dim = -1

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (nn.LayerNorm(channels),)

    def channels(self, layer: nn.Module) -> tuple[int, int]:
        count = _norm(layer).normalized_shape[-1]
        return count, count

    def channel_dim(self, layer: nn.Module, images: Tensor) -> int:
        return -1 if images.shape[-1] == _norm(layer).normalized_shape[-1] else 1

    def size(self, layer: nn.Module, images: Tensor) -> tuple[int, int]:
        return 1, images.numel() // _norm(layer).normalized_shape[-1]

    def mixes(self, layer: nn.Module) -> bool:
        return True

    def attributes(self, layer: nn.Module, inputs: int | None, outputs: int) -> dict[str, Any]:
        return {"normalized_shape": (*_norm(layer).normalized_shape[:-1], outputs)}


def _norm(layer: nn.Module) -> nn.LayerNorm:
    assert isinstance(layer, nn.LayerNorm)
    return layer
