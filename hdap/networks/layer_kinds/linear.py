"""Linear layers, at one position or at many."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdap.networks.layer_kinds.base import LayerKind
from hdap.networks.layer_kinds.known_inputs import KnownInputs, Propagated, constants, settled

_FUNCTIONS = {functional.linear: ("input", "weight", "bias")}


class LinearKind(LayerKind):
    modules = (nn.Linear,)
    counted_as = "linear"
    functions = _FUNCTIONS

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (nn.Linear(channels, channels), nn.Linear(channels, channels, bias=False))

    def channels(self, layer: nn.Module) -> tuple[int, int]:
        assert isinstance(layer, nn.Linear)
        return layer.in_features, layer.out_features

    def channel_dim(self, layer: nn.Module, images: Tensor) -> int:
        return -1

    def attributes(self, layer: nn.Module, inputs: int | None, outputs: int) -> dict[str, Any]:
        return {"in_features": inputs, "out_features": outputs}

    def called_by(self, layer: nn.Module) -> Tensor | None:
        assert isinstance(layer, nn.Linear)
        return layer.weight

    def propagate(self, func: Callable[..., Any], call: dict[str, Any]) -> Propagated:
        image, weight, bias = call["input"], call["weight"], call.get("bias")
        flat = image.reshape(-1, image.shape[-1])
        known = ~flat.isnan().any(0)
        output = torch.full_like(flat[:, :1], torch.nan).repeat(1, len(weight))
        used, rows = weight != 0, settled(weight.abs(), known, 1)
        output[:, rows] = flat[:, known] @ weight[rows][:, known].T
        if bias is not None:
            output[:, rows] += bias[rows]
        always = torch.ones(1, dtype=torch.bool, device=flat.device)
        values = constants(flat.T, known)
        given = KnownInputs(values, known, used, always, torch.zeros_like(used))
        return Propagated(output.view(*image.shape[:-1], len(weight)), weight, given)
