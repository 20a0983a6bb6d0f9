"""Batch norms: in eval mode a scale and a shift of each channel."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from hdap.networks.layer_kinds.base import LayerKind, replace_tensor
from hdap.networks.layer_kinds.known_inputs import Propagated

_REST = ("training", "momentum", "eps", "cudnn_enabled")
_FUNCTIONS: Mapping[Callable[..., Any], Sequence[str]] = {
    functional.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", *_REST),
    torch.batch_norm: ("input", "weight", "bias", "running_mean", "running_var", *_REST),
}


class BatchNormKind(LayerKind):
    modules = (_BatchNorm,)
    tensors = ("weight", "bias", "running_mean", "running_var")
    width = "num_features"
    functions = _FUNCTIONS

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (nn.BatchNorm2d(channels), nn.BatchNorm2d(channels, affine=False))

    def energy_gain(self, layer: nn.Module) -> Tensor | float:
        norm = _norm(layer)
        if norm.running_var is None:
            return 1.0
        gain = 1.0 / (norm.running_var.double() + norm.eps)
        return gain if norm.weight is None else gain * norm.weight.detach().double().square()

    def scale(self, layer: nn.Module) -> Tensor | None:
        return _norm(layer).weight

    def output_variance(self, layer: nn.Module) -> Tensor | None:
        variance, norm = super().output_variance(layer), _norm(layer)
        if variance is None or norm.running_var is None:
            return variance
        seen = norm.running_var.double()
        return variance * seen / (seen + norm.eps)  # nothing comes out of what never varied

    def called_by(self, layer: nn.Module) -> Tensor | None:
        return _norm(layer).running_mean

    def propagate(self, func: Callable[..., Any], call: dict[str, Any]) -> Propagated:
        output: Tensor = func(**call)
        weight, bias = call.get("weight"), call.get("bias")
        if weight is not None and (weight == 0).any():
            # where the scale is zero the bias comes out, whatever comes in
            zero = weight == 0
            output[:, zero] = (
                0.0 if bias is None else bias[zero].view(-1, *[1] * (output.dim() - 2))
            )
        return Propagated(output, call.get("running_mean"))

    def absorbs(self, layer: nn.Module) -> bool:
        return _norm(layer).running_mean is not None

    def absorb(self, layer: nn.Module, shift: Tensor) -> None:
        mean = layer.get_buffer("running_mean")
        replace_tensor(layer, "running_mean", (mean - shift).to(mean.dtype))


def _norm(layer: nn.Module) -> _BatchNorm:
    assert isinstance(layer, _BatchNorm)
    return layer
