"""Training that feels int8: weights and inputs of products are rounded while a step is taken.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, 3: gradients pass through the rounding, weights themselves stay in float32.
What is rounded is what the quantisers of all runtimes share: a scale for each output channel,
symmetric; for inputs one scale and zero point, here of the batch at hand, so that a training has
nothing to remember. Batch norms scale whole channels, so folding them into weights later moves no
weight to another step. Calibration and the rounding that a device really does come with
`hdap export --precision int8`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

LARGEST = 127
STEPS = 255
_LEAST = torch.finfo(torch.float32).eps
"""A scale of nothing but zeros."""


@contextmanager
def rounded_to_int8(module: nn.Module) -> Iterator[None]:
    """Inside, every convolution and linear layer of `module` computes with rounded values.

    Parameters, their names and the state dict stay as they are.
    """
    handles = []
    for layer in module.modules():
        if isinstance(layer, (_ConvNd, nn.Linear)) and "weight" in layer._parameters:
            handles.append(layer.register_forward_pre_hook(_round))
            handles.append(layer.register_forward_hook(_restore, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def rounded_weight(weight: Tensor, axis: int) -> Tensor:
    """A weight on the grid of int8, a scale for each of its channels along `axis`."""
    others = [i for i in range(weight.dim()) if i != axis]
    scale = (weight.detach().abs().amax(others).float() / LARGEST).clamp(min=_LEAST)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, axis, -LARGEST, LARGEST)


def rounded_input(values: Tensor) -> Tensor:
    """What enters a layer on 256 steps from its least to its largest value, 0 among them."""
    least, largest = torch.aminmax(values.detach().float())
    least, largest = least.clamp(max=0.0), largest.clamp(min=0.0)
    scale = ((largest - least) / STEPS).clamp(min=_LEAST)
    zero = (-least / scale).round().clamp(0, STEPS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, STEPS)


def _round(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    axis = 1 if isinstance(layer, _ConvTransposeNd) else 0
    # Found before the parameter of that name, which stays where it is.
    layer.__dict__["weight"] = rounded_weight(layer.get_parameter("weight"), axis)
    return (rounded_input(given[0]), *given[1:])


def _restore(layer: nn.Module, given: object, made: object) -> None:
    layer.__dict__.pop("weight", None)
