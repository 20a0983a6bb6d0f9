"""Parts of tensors, and layers that run on them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdap.networks.layer_kinds.base import Indices

Picks = tuple[int | Tensor, ...]
"""For each of the first dimensions of a tensor how many indices it keeps, or which."""


def picks(tensor: Tensor, *kept: Indices) -> Picks:
    """What `kept` (ascending indices of the first dimensions) keeps; a prefix is a number."""
    prefixes = [np.array_equal(index, np.arange(len(index))) for index in kept]
    return tuple(
        len(index) if prefix else torch.as_tensor(index, device=tensor.device)
        for index, prefix in zip(kept, prefixes, strict=True)
    )


def is_view(chosen: Picks) -> bool:
    """Whether `take` needs no copy."""
    return all(isinstance(pick, int) for pick in chosen)


def take(tensor: Tensor, chosen: Picks) -> Tensor:
    """The part of a tensor that is kept: a view where every dimension keeps a prefix."""
    for dim, pick in enumerate(chosen):
        if not isinstance(pick, int):
            tensor = tensor.index_select(dim, pick)
        elif pick != tensor.shape[dim]:
            tensor = tensor.narrow(dim, 0, pick)
    return tensor


def covered(tensor: Tensor, chosen: Picks) -> Tensor:
    """Booleans of the tensor's shape: which numbers `take` takes."""
    inside = torch.ones(tensor.shape, dtype=torch.bool, device=tensor.device)
    for dim, pick in enumerate(chosen):
        along = torch.zeros(tensor.shape[dim], dtype=torch.bool, device=tensor.device)
        along[torch.arange(pick) if isinstance(pick, int) else pick] = True
        inside &= along.reshape([-1 if d == dim else 1 for d in range(tensor.dim())])
    return inside


@dataclass(frozen=True, eq=False)
class ChannelPart:
    """Attribute `name` of `layer` is the part `chosen` of `tensor`."""

    layer: nn.Module
    name: str
    tensor: Tensor
    chosen: Picks

    def bind(self) -> None:
        """Take the part now; gradients reach the whole tensor where they are recorded."""
        self.layer.__dict__[self.name] = take(self.tensor, self.chosen)


@dataclass(eq=False)
class Binding:
    """One configuration of a network: every layer with its sizes and its parts of the weights.

    Views are made once; what is no prefix (concatenated inputs, grouped convolutions) is gathered
    at each forward pass, for that pass.
    """

    settings: list[tuple[nn.Module, dict[str, Any]]] = field(default_factory=list)
    parts: list[ChannelPart] = field(default_factory=list)
    gathered: list[ChannelPart] = field(default_factory=list)
    recording: bool = False

    def add(self, layer: nn.Module, sizes: dict[str, Any], parts: list[ChannelPart]) -> None:
        """Attributes `sizes` and tensors `parts` of `layer`."""
        views: dict[str, Any] = {}
        for part in parts:
            if not is_view(part.chosen):
                self.gathered.append(part)
                self.parts.append(part)
                continue
            whole = take(part.tensor, part.chosen) is part.tensor
            views[part.name] = part.tensor if whole else take(part.tensor.detach(), part.chosen)
            if not whole:
                self.parts.append(part)
        self.settings.append((layer, sizes | views))

    def bind(self) -> None:
        """Make the network this configuration: nothing but attributes is set."""
        for layer, values in self.settings:
            layer.__dict__.update(values)
        self.recording = False

    def prepare(self, recording: bool) -> None:
        """Before a forward pass: parts that gradients flow through, or plain ones."""
        if recording:
            for part in self.parts:
                part.bind()
            self.recording = True
            return
        if self.recording:
            self.bind()
        for part in self.gathered:
            part.bind()
