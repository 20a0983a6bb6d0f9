"""What a network computes whatever its image is: constants that follow from its weights alone.

The network is run once on an image of NaNs, and NaN stands for "depends on the image". Everything
between layers passes NaNs on by itself; kinds of layers whose zero weights do not look at an input
skip it (`LayerKind.propagate`). So what comes out as a number is that number for every image, at
the borders of padded images too.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hdap.networks.forward_pass import in_eval_mode, quiet
from hdap.networks.layer_kinds.known_inputs import KnownInputs
from hdap.networks.layer_kinds.registry import KINDS, find_kind

_PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)


@dataclass(frozen=True)
class ChannelConstants:
    """`given` by layer; `norms` names the batch norm that alone reads a layer's output."""

    given: Mapping[str, KnownInputs]
    norms: Mapping[str, str]


def propagate_constants(network: nn.Module, input_shape: tuple[int, ...]) -> ChannelConstants:
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
        self._kinds = {
            func: (kind, names) for kind in KINDS.values() for func, names in kind.functions.items()
        }
        self._callers: dict[int, str] = {}
        for name, module in network.named_modules():
            kind = find_kind(module)
            tensor = None if kind is None else kind.called_by(module)
            if tensor is not None:
                self._callers[id(tensor)] = name
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
        reader = ""
        if func in self._kinds:
            kind, names = self._kinds[func]
            done = kind.propagate(func, {**dict(zip(names, args, strict=False)), **kwargs})
            found, name = done.output, self._callers.get(id(done.by), "")
            if done.given is None:
                reader = name
            elif name:
                self._given[name] = done.given
                self._made[id(found)] = _Made(name, found)
        else:
            found = func(*args, **kwargs)
            if func in _PRODUCTS and all(isinstance(x, Tensor) for x in args):
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
