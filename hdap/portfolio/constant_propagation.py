"""What a network computes whatever its image is: constants that follow from its weights alone.

The network is run once on an image of NaNs, and NaN stands for "depends on the image". Everything
between layers passes NaNs on by itself; convolutions, linear layers and batch norms are told to
skip what their zero weights do not look at. So what comes out as a number is that number for every
image, at the borders of padded images too.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from hdap.networks.layers import in_eval_mode
from hdap.networks.quiet import quiet
from hdap.portfolio.layer_constants import (
    KnownInputs,
    constants,
    convolved,
    given_to,
    settled,
    sizes_of,
)

_CONVOLUTIONS: Mapping[Any, str] = {torch.conv1d: "conv", torch.conv2d: "conv"}
_NORMS = (functional.batch_norm, torch.batch_norm)
_PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
_CONV_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_LINEAR_ARGUMENTS = ("input", "weight", "bias")


@dataclass(frozen=True)
class ChannelConstants:
    """`given` by layer; `norms` names the batch norm that alone reads a layer's output."""

    given: Mapping[str, KnownInputs]
    norms: Mapping[str, str]


def known_values(network: nn.Module, input_shape: tuple[int, int, int]) -> ChannelConstants:
    """What follows from the weights of `network` alone, in eval mode.

    The network is left in the mode that it was in. Layers whose weights are made on the fly
    (weight standardisation) are taken to depend on the image.
    """
    first = next(network.parameters())
    image = torch.full((1, *input_shape), torch.nan, device=first.device, dtype=first.dtype)
    watch = _Watch(network)
    with in_eval_mode(network), quiet(), torch.no_grad(), watch:
        network(image)
    return watch.facts()


@dataclass
class _Made:
    """The output of a layer (held, so that its id stays its own) and who read it."""

    layer: str
    output: Tensor
    readers: Counter[str] = field(default_factory=Counter)


class _Watch(TorchFunctionMode):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._layers: dict[int, str] = {}
        self._norms: dict[int, str] = {}
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                self._layers[id(module.weight)] = name
            elif isinstance(module, _BatchNorm) and module.running_mean is not None:
                self._norms[id(module.running_mean)] = name
        self._given: dict[str, KnownInputs] = {}
        self._made: dict[int, _Made] = {}

    def facts(self) -> ChannelConstants:
        norms = {}
        for made in self._made.values():
            reader = next(iter(made.readers), "")
            if made.readers.total() == 1 and reader:
                norms[made.layer] = reader
        return ChannelConstants(self._given, norms)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS:
            found = self._convolution(func, _named(_CONV_ARGUMENTS, args, kwargs))
        elif func is functional.linear:
            found = self._linear(_named(_LINEAR_ARGUMENTS, args, kwargs))
        else:
            found = func(*args, **kwargs)
        reader = ""
        if func in _NORMS:
            reader = self._norms.get(id(args[1] if len(args) > 1 else kwargs["running_mean"]), "")
            _forget_scaled_away(found, *_scale_and_bias(args, kwargs, func))
        elif func in _PRODUCTS and all(isinstance(x, Tensor) for x in args):
            found = torch.where((args[0] == 0) | (args[1] == 0), 0.0, found)
        self._note(found, (*args, *kwargs.values()), reader)
        return found

    def _note(self, found: Any, given: Sequence[Any], reader: str) -> None:
        if not isinstance(found, Tensor | tuple | list):
            return
        for one in given:
            for tensor in one if isinstance(one, tuple | list) else (one,):
                if id(tensor) in self._made:
                    self._made[id(tensor)].readers[reader] += 1

    def _convolution(self, func: Callable[..., Tensor], call: dict[str, Any]) -> Tensor:
        image, weight, bias = call.pop("input"), call.pop("weight"), call.pop("bias", None)
        known = ~image.flatten(2).sum(2)[0].isnan()
        shape = func(image.to("meta"), weight.to("meta"), None, **call).shape
        output = torch.full(shape, torch.nan, device=image.device, dtype=image.dtype)
        sizes = sizes_of(weight.flatten(2))
        used, rows = sizes != 0, settled(sizes, known, call.get("groups", 1))
        if rows.any():
            output[:, rows] = convolved(func, image, weight, rows, used, known, call)
            if bias is not None:
                output[:, rows] += bias[rows].view(-1, *[1] * (image.dim() - 2))
        name = self._layers.get(id(weight), "")
        if name:
            self._given[name] = given_to(func, image, known, weight, used, call)
            self._made[id(output)] = _Made(name, output)
        return output

    def _linear(self, call: dict[str, Any]) -> Tensor:
        image, weight, bias = call["input"], call["weight"], call.get("bias")
        flat = image.reshape(-1, image.shape[-1])
        known = ~flat.isnan().any(0)
        output = torch.full_like(flat[:, :1], torch.nan).repeat(1, len(weight))
        used, rows = weight != 0, settled(weight.abs(), known, 1)
        output[:, rows] = flat[:, known] @ weight[rows][:, known].T
        if bias is not None:
            output[:, rows] += bias[rows]
        output = output.view(*image.shape[:-1], len(weight))
        name = self._layers.get(id(weight), "")
        if name:
            always = torch.ones(1, dtype=torch.bool, device=flat.device)
            values = constants(flat.T, known)
            self._given[name] = KnownInputs(values, known, used, always, torch.zeros_like(used))
            self._made[id(output)] = _Made(name, output)
        return output


def _named(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _scale_and_bias(
    args: Sequence[Any], kwargs: Mapping[str, Any], func: Any
) -> tuple[Tensor | None, Tensor | None]:
    names = ("input", "running_mean", "running_var", "weight", "bias")
    if func is torch.batch_norm:
        names = ("input", "weight", "bias", "running_mean", "running_var")
    call = _named(names, args, kwargs)
    return call.get("weight"), call.get("bias")


def _forget_scaled_away(output: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    """A batch norm whose scale is zero gives its bias, whatever comes in."""
    if weight is None or not (weight == 0).any():
        return
    zero = weight == 0
    shape = (-1, *[1] * (output.dim() - 2))
    output[:, zero] = 0.0 if bias is None else bias[zero].view(shape)
