"""Norms that take channels together, made to act on each alone: means change with pruning."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hdap.networks.forward_pass import hooked
from hdap.networks.layer_kinds.registry import find_kind, kind_of

_ATEN = torch.ops.aten


class _Separate(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, norms that take channels together act on each alone: means change with pruning."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet is _ATEN.native_layer_norm:
            image, _, weight, bias = args[:4]
            return (_affine(image, weight, bias), *outputs[1:])
        standardised = packet is _ATEN.native_batch_norm and args[5]  # weights, over their inputs
        if packet is _ATEN.native_group_norm or standardised:
            image, weight, bias = args[:3]
            shape = [-1, *[1] * (image.dim() - 2)]
            return (_affine(image, *(_shaped(x, shape) for x in (weight, bias))), *outputs[1:])
        return outputs


@contextmanager
def norms_by_channel(*networks: nn.Module) -> Iterator[None]:
    """Inside, every norm of these networks acts on each channel alone."""
    handles = [
        layer.register_forward_hook(_scaled)
        for network in networks
        for layer in network.modules()
        for kind in [find_kind(layer)]
        if kind is not None and kind.opaque
    ]
    with hooked(handles), _Separate():  # type: ignore[no-untyped-call]
        yield


def _scaled(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    image = inputs[0]
    last = kind_of(layer).channel_dim(layer, image) in (-1, image.dim() - 1)
    shape = [-1] if last else [-1, *[1] * (image.dim() - 2)]
    vectors = (dict(layer.named_parameters()).get(name) for name in ("weight", "bias"))
    return _affine(image, *(_shaped(vector, shape) for vector in vectors))


def _shaped(vector: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    return None if vector is None else vector.view(shape)


def _affine(image: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    image = image.clone() if weight is None else image * weight
    return image if bias is None else image + bias
