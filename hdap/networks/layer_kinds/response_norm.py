"""Global response norms (Woo et al., "ConvNeXt V2", CVPR 2023): each channel by the mean of all."""

from timm.layers.grn import GlobalResponseNorm
from torch import Tensor, nn

from hdap.networks.layer_kinds.base import LayerKind


class ResponseNormKind(LayerKind):
    modules = (GlobalResponseNorm,)
    opaque = True

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (GlobalResponseNorm(channels, channels_last=False),)

    def channel_dim(self, layer: nn.Module, images: Tensor) -> int:
        dim = layer.channel_dim
        assert isinstance(dim, int)
        return dim

    def mixes(self, layer: nn.Module) -> bool:
        return True
