"""What layers of a masked network were given, to compare a pruned one with as it runs."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.forward_pass import hooked, leaves
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind, kind_of

# As a share of a layer's largest input: rounding in float64 stays below it, also where a steep
# softmax magnifies it; a wrong channel does not.
_TOLERANCE = 1e-7

# Relative, in float64.
_ROUNDING = 1e-15

Run = Callable[[nn.Module], Any]
"""The output of a network for one image, the same each time."""


class GivenInputs:
    """Of every layer, in one run.

    Where another rounding decides what a layer is given (boxes in the order of their scores, or
    dropped for others), a pruned network may be given something else and be right. There it is
    given what the masked one was, so that what follows is compared all the same.
    """

    def __init__(self, graph: ChannelGraph, gone: Indices, run: Run) -> None:
        self._run = run
        self._stay: dict[str, list[Tensor]] = defaultdict(list)
        for layer in graph.layers:
            if not layer.is_product:
                stays = np.flatnonzero(~np.isin(layer.inputs, gone))
                self._stay[layer.name].append(torch.from_numpy(stays))
        self._inputs: dict[str, list[Tensor]] = defaultdict(list)
        self._seen: dict[str, int] = defaultdict(int)
        self._between: list[str] = []
        self._unsteady: set[tuple[str, int]] = set()
        self._steady_outputs = True
        self.outputs: list[Tensor] = []

    @property
    def last(self) -> str:
        """The last layer that ran."""
        return list(self._inputs)[-1] if self._inputs else "the network"

    @property
    def shown(self) -> set[str]:
        """The layers that were given any numbers."""
        return {name for name, given in self._inputs.items() if any(x.numel() for x in given)}

    def record(self, network: nn.Module) -> None:
        """Run it and note its outputs and the input of every layer."""

        def note(name: str, inputs: tuple[Any, ...]) -> None:
            # in place, what follows may change it
            self._inputs[name].append(inputs[0].clone())

        with _before_layers(network, note):
            self.outputs = leaves(self._run(network))

    def unsteady(self, network: nn.Module) -> bool:
        """Whether another rounding of what the layers of the masked network give changes more than
        rounding does, in what a layer is given or in the outputs; not so where it says something
        else each time."""
        return not self._differs(network, 0.0) and self._differs(network, _ROUNDING)

    def _differs(self, network: nn.Module, rounding: float) -> bool:
        generator = torch.Generator().manual_seed(0)
        self._seen.clear()

        def shake(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            noise = torch.randn(output.shape, generator=generator, dtype=output.dtype)
            return output * (1.0 + rounding * noise)

        def note(name: str, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            use = self._use(name)
            whole = self._inputs[name][use]
            if _same(inputs[0], whole):
                return None
            self._unsteady.add((name, use))
            return whole.clone(), *inputs[1:]

        shaken = [layer.register_forward_hook(shake) for _, layer in _layers(network)]
        with hooked(shaken), _before_layers(network, note):
            self._steady_outputs = _all_same(leaves(self._run(network)), self.outputs)
        return bool(self._unsteady) or not self._steady_outputs

    def compare(self, pruned: nn.Module) -> None:
        """Run it; raises `UnsupportedModelError` at the first layer of another input."""
        self._seen.clear()
        self._between.clear()

        def look(name: str, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            use = self._use(name)
            layer = pruned.get_submodule(name)
            kind = kind_of(layer)
            if not kind.has_channels(layer) or use >= len(self._stay[name]):
                return None
            dim = kind.channel_dim(layer, inputs[0])
            stays = self._inputs[name][use].index_select(dim, self._stay[name][use])
            if (name, use) in self._unsteady:
                return stays, *inputs[1:]
            if not _same(inputs[0], stays):
                raise self.refusal(f"`{name}`")
            self._between.clear()
            return None

        passed = [
            module.register_forward_hook(lambda *_, name=name: self._between.append(name))
            for name, module in pruned.named_modules()
            if name and find_kind(module) is None and not _holds_layers(module)
        ]
        with hooked(passed), _before_layers(pruned, look):
            outputs = leaves(self._run(pruned))
        if self._steady_outputs and not _all_same(outputs, self.outputs):
            raise self.refusal("the output")

    def _use(self, name: str) -> int:
        self._seen[name] += 1
        return self._seen[name] - 1

    def refusal(self, at: str) -> UnsupportedModelError:
        """The error for another input of a layer, or another output."""
        why = "mixes channels, reorders them, or depends on how many there are"
        if len(self._between) == 1:
            return refuse(self._between[0], f"{why} ({at} after it shows it)")
        within = f" ({', '.join(self._between)})" if self._between else ""
        return refuse(at.strip("`"), f"comes after something{within} that {why}")


@contextmanager
def _before_layers(
    network: nn.Module, see: Callable[[str, tuple[Any, ...]], tuple[Any, ...] | None]
) -> Iterator[None]:
    seen = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: see(name, inputs))
        for name, layer in _layers(network)
    ]
    with hooked(seen):
        yield


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Its layers of known kinds, by name."""
    return [(name, part) for name, part in network.named_modules() if find_kind(part) is not None]


def _holds_layers(module: nn.Module) -> bool:
    return any(find_kind(part) is not None for part in module.modules())


def _all_same(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return len(left) == len(right) and all(map(_same, left, right))


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same but for rounding, and overflow at the same places."""
    if left.shape != right.shape:
        return False
    if not left.numel():
        return True
    left, right = left.double(), right.double()
    away, largest = ((x.abs().max()) for x in (left - right, right))
    if not away.isfinite() or not largest.isfinite():
        left, right = (x.nan_to_num(0.0, 0.0, 0.0) * x.isfinite() for x in (left, right))
        away, largest = (x.abs().max() for x in (left - right, right))
    return bool(away <= _TOLERANCE * largest)
