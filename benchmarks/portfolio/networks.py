"""The networks of `benchmarks.portfolio.build`: the examples' for 16 x 16 pixels."""

from torch import nn

from hdap.examples.networks import small_resnet, small_vgg

SIDE = 16


def vgg() -> nn.Module:
    """Eight plain convolutions for 1 x 16 x 16."""
    return _for_side(small_vgg())


def resnet() -> nn.Module:
    """Three stages of two residual blocks for 1 x 16 x 16."""
    return _for_side(small_resnet())


def _for_side(network: nn.Module) -> nn.Module:
    network.input_shape = (1, SIDE, SIDE)  # type: ignore[assignment]
    return network
