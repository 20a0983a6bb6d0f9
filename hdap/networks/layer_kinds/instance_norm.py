"""Instance norms: each channel of each image by itself."""

from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from hdap.networks.layer_kinds.base import LayerKind


class InstanceNormKind(LayerKind):
    modules = (_InstanceNorm,)
    tensors = ("weight", "bias", "running_mean", "running_var")
    width = "num_features"

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (nn.InstanceNorm2d(channels, affine=True), nn.InstanceNorm2d(channels))
