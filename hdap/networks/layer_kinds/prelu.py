"""PReLU: no norm, but counted like one. Its slopes follow the channels and it has no MACs."""

from torch import nn

from hdap.networks.layer_kinds.base import LayerKind


class PReLUKind(LayerKind):
    modules = (nn.PReLU,)
    tensors = ("weight",)
    width = "num_parameters"

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (nn.PReLU(channels), nn.PReLU())

    def has_channels(self, layer: nn.Module) -> bool:
        assert isinstance(layer, nn.PReLU)
        return layer.num_parameters > 1  # one slope is shared by all channels
