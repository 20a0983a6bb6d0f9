"""Convolutions, those of several groups and depthwise ones included."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from hdap.fleet_data.architecture import Layer
from hdap.networks.layer_kinds.base import LayerKind
from hdap.networks.layer_kinds.known_inputs import KnownInputs, Propagated, constants, settled

_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_FUNCTIONS = {torch.conv1d: _ARGUMENTS, torch.conv2d: _ARGUMENTS}


class ConvolutionKind(LayerKind):
    modules = (_ConvNd,)
    counted_as = "conv"
    functions = _FUNCTIONS

    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        return (
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 3, padding=1, groups=2),
        )

    def refusal(self, layer: nn.Module) -> str:
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and (
            self.same_channels(layer) or not _depthwise(layer)
        ):
            return ""
        return f"is a {type(layer).__name__} that is not known here"

    def channels(self, layer: nn.Module) -> tuple[int, int]:
        conv = _conv(layer)
        return conv.in_channels, conv.out_channels

    def same_channels(self, layer: nn.Module) -> bool:
        conv = _conv(layer)
        return conv.groups == conv.out_channels == conv.in_channels and conv.groups > 1

    def blocks(self, layer: nn.Module) -> int:
        return 1 if _depthwise(layer) else _conv(layer).groups

    def record(self, layer: nn.Module, common: Layer) -> Layer:
        conv = _conv(layer)
        return replace(
            common,
            kernel=_pair(conv.kernel_size),
            stride=_pair(conv.stride),
            groups=self.blocks(conv),
            depthwise=_depthwise(conv),
            transposed=conv.transposed,
        )

    def attributes(self, layer: nn.Module, inputs: int | None, outputs: int) -> dict[str, Any]:
        if inputs is None:
            return {"in_channels": outputs, "out_channels": outputs, "groups": outputs}
        return {"in_channels": inputs, "out_channels": outputs}

    def attributes_after(
        self, layer: nn.Module, inputs: int | None, outputs: int
    ) -> dict[str, Any]:
        left = self.attributes(layer, inputs, outputs)
        return left | {"groups": left["in_channels"]} if _depthwise(layer) else left

    def by_output(self, layer: nn.Module, weight: Tensor) -> Tensor:
        return _turned(layer, weight) if _conv(layer).transposed else weight.flatten(1)

    def by_input(self, layer: nn.Module, weight: Tensor) -> Tensor:
        return weight.flatten(1) if _conv(layer).transposed else _turned(layer, weight)

    def called_by(self, layer: nn.Module) -> Tensor | None:
        return None if self.refusal(layer) else _conv(layer).weight

    def propagate(self, func: Callable[..., Any], call: dict[str, Any]) -> Propagated:
        image, weight, bias = call.pop("input"), call.pop("weight"), call.pop("bias", None)
        known = ~image.flatten(2).sum(2)[0].isnan()
        shape = func(image.to("meta"), weight.to("meta"), None, **call).shape
        output = torch.full(shape, torch.nan, device=image.device, dtype=image.dtype)
        sizes = _kernel_sizes(weight.flatten(2))
        used, rows = sizes != 0, settled(sizes, known, call.get("groups", 1))
        if rows.any():
            output[:, rows] = _convolved(func, image, weight, rows, used, known, call)
            if bias is not None:
                output[:, rows] += bias[rows].view(-1, *[1] * (image.dim() - 2))
        return Propagated(output, weight, _given(func, image, known, weight, used, call))


def _conv(layer: nn.Module) -> _ConvNd:
    assert isinstance(layer, _ConvNd)
    return layer


def _turned(layer: nn.Module, weight: Tensor) -> Tensor:
    """One side x the other side of a block x kernel -> the other side x all that goes with one."""
    blocks = weight.reshape(_conv(layer).groups, -1, weight.shape[1], *weight.shape[2:])
    return blocks.transpose(1, 2).flatten(0, 1).flatten(1)


def _depthwise(layer: nn.Module) -> bool:
    """Whether each input makes outputs of its own."""
    return _conv(layer).groups == _conv(layer).in_channels > 1


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    """Sizes along one to three dimensions as two numbers of the same product."""
    return math.prod(value[:-1]), value[-1]


def _kernel_sizes(weight: Tensor) -> Tensor:
    """Sums of magnitudes of kernels: outputs x inputs x places -> outputs x inputs."""
    if weight.shape[2] == 1:
        return weight[..., 0].abs()
    return weight.abs() @ weight.new_ones(weight.shape[2])


def _convolved(
    func: Callable[..., Tensor],
    image: Tensor,
    weight: Tensor,
    rows: Tensor,
    used: Tensor,
    known: Tensor,
    call: Mapping[str, Any],
) -> Tensor | float:
    """The outputs `rows` without bias; inputs that they do not look at are left out."""
    if not used[rows].any():
        return 0.0
    if call.get("groups", 1) > 1:
        return func(image.nan_to_num(), weight, None, **call)[:, rows]
    columns = known & used[rows].any(0)
    return func(image[:, columns], weight[rows][:, columns], None, **call)


def _given(
    func: Callable[..., Tensor],
    image: Tensor,
    known: Tensor,
    weight: Tensor,
    used: Tensor,
    call: Mapping[str, Any],
) -> KnownInputs:
    values = constants(image.flatten(2)[0], known)
    places = weight[0, 0].numel()
    always = torch.ones(places, dtype=torch.bool, device=image.device)
    uneven = torch.zeros_like(used)
    constant = values.nan_to_num() != 0
    if places > 1 and constant.any():
        one = torch.eye(places, device=image.device, dtype=image.dtype)
        inside = func(
            torch.ones_like(image[:, :1]),
            one.view(places, 1, *weight.shape[2:]),
            None,
            **{**call, "groups": 1},
        )
        inside = inside.flatten(2)[0].bool()
        always = inside.all(1)
        sometimes = inside.any(1) & ~always
        if sometimes.any():
            columns = constant.view(-1, weight.shape[1]).any(0)
            uneven[:, columns] = _kernel_sizes(weight[:, columns].flatten(2)[..., sometimes]) != 0
    return KnownInputs(values, known, used, always, uneven)
