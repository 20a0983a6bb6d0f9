"""Group norms: a fixed number of groups of channels, each with statistics of its own."""

from torch import nn

from hdap.networks.layer_kinds.base import LayerKind


class GroupNormKind(LayerKind):
    modules = (nn.GroupNorm,)
    width = "num_channels"

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (nn.GroupNorm(4, channels),)

    def blocks(self, layer: nn.Module) -> int:
        return _norm(layer).num_groups

    def mixes(self, layer: nn.Module) -> bool:
        return _norm(layer).num_groups < _norm(layer).num_channels


def _norm(layer: nn.Module) -> nn.GroupNorm:
    assert isinstance(layer, nn.GroupNorm)
    return layer
