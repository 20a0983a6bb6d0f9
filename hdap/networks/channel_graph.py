"""Which channels go together: a thin, checked view of Torch-Pruning's dependency graph."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch_pruning import DependencyGraph
from torch_pruning.dependency import Group, index_mapping
from torch_pruning.ops import OPTYPE, module2type
from torch_pruning.pruner.function import BasePruningFunc

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.forward_pass import quiet
from hdap.networks.layer_kinds.base import Indices, LayerKind
from hdap.networks.layer_kinds.registry import find_kind

# Operations between layers: they pass channels on and hold nothing that could be cut.
_PASSIVE = {
    OPTYPE.CONCAT,
    OPTYPE.SPLIT,
    OPTYPE.ELEMENTWISE,
    OPTYPE.RESHAPE,
    OPTYPE.UNBIND,
    OPTYPE.EXPAND,
    OPTYPE.SLICE,
    OPTYPE.OUTPUT,
}

# Steps from a root, as a multiple of all dependencies: real networks need a fifth. Where channels
# are shifted against themselves (x[:, 1:] - x[:, :-1]) Torch-Pruning would go round for ever.
_STEPS = 2


@dataclass(frozen=True, eq=False)
class Touch:
    """A layer that loses channels when channels of a root convolution go.

    `indices` are the layer's own channels and `roots` the root channels that they go with, one for
    one. `module` is a layer on meta, or a parameter that the network holds outside of any layer.
    """

    name: str
    module: Any
    inputs: bool
    outputs: bool
    indices: Indices
    roots: Indices


@dataclass(frozen=True)
class Coupling:
    """Everything that moves with the output channels of one convolution."""

    touches: tuple[Touch, ...]
    reaches_output: bool


class ChannelGraph:
    """The channel dependencies of a network that takes one image and returns one tensor.

    It is made from a copy on meta, so `module` is neither changed nor run. Raises
    `UnsupportedModelError` where Torch-Pruning cannot follow the channels.
    """

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...]) -> None:
        self.network = on_meta(module).requires_grad_(True)
        self._names: dict[nn.Module, str] = {m: name for name, m in self.network.named_modules()}
        dtype = next(self.network.parameters()).dtype
        example = torch.zeros(1, *input_shape, device="meta", dtype=dtype)
        try:
            self._graph = _build(self.network, example)
        except Exception as error:
            layer = _first_that_fails(self.network, example)
            raise refuse(self._names[layer] or type(module).__name__, _unfollowed(error)) from error

    def runs(self, layer: str) -> bool:
        """Whether the traced forward pass went through `layer`."""
        return self.network.get_submodule(layer) in self._graph.module2node

    def coupling(self, root: str, channels: Sequence[int]) -> Coupling:
        """What goes with the output `channels` of convolution `root`."""
        touches = []
        reaches_output = False
        for item in self._group(root, channels):
            node, handler = item.dep.target, item.dep.handler
            outputs = self._graph.is_out_channel_pruning_fn(handler)
            # A node that feeds nothing is the end of the network.
            reaches_output |= node.type == OPTYPE.OUTPUT or (outputs and not node.outputs)
            if node.type in _PASSIVE or not _has_channels(node.module):
                continue
            touches.append(
                Touch(
                    name=self._name(node.module),
                    module=node.module,
                    inputs=self._graph.is_in_channel_pruning_fn(handler),
                    outputs=outputs,
                    indices=np.array(item.idxs, dtype=np.int64),
                    roots=np.array([-1 if r is None else r for r in item.root_idxs], np.int64),
                )
            )
        return Coupling(tuple(touches), reaches_output)

    def _group(self, root: str, channels: Sequence[int]) -> Any:
        module = self.network.get_submodule(root)
        pruner = self._graph.get_pruner_of_module(module)
        # Torch-Pruning works out all offsets anew for each question, in time quadratic in the
        # inputs of a concatenation. They cannot have changed: nothing is pruned in this graph.
        unchanged = patch.object(index_mapping, "update_index_mapping", lambda graph: None)
        steps = sum(len(node.dependencies) for node in self._graph.module2node.values())
        ending = patch.object(Group, "add_dep", _limited(Group.add_dep, _STEPS * steps))
        with unchanged, ending, _unless_it_fails(root):
            return self._graph.get_pruning_group(
                module, pruner.prune_out_channels, list(map(int, channels))
            )

    def _name(self, module: nn.Module | nn.Parameter) -> str:
        if isinstance(module, nn.Parameter):
            return str(self._graph._param_to_name[module])
        return self._names[module]


def on_meta(module: nn.Module) -> nn.Module:
    """A copy in eval mode that has shapes but no numbers."""
    tensors = [*module.parameters(), *module.buffers()]
    # Handing the copies over spares making real ones first.
    bare = {
        id(t): nn.Parameter(t.detach().to("meta"), t.requires_grad)
        if isinstance(t, nn.Parameter)
        else t.to("meta")
        for t in tensors
    }
    return copy.deepcopy(module, bare).to("meta").eval()


def refuse(layer: str, why: str) -> UnsupportedModelError:
    """The error for a network that cannot be described exactly because of `layer`."""
    return UnsupportedModelError(
        f"every channel must follow from the width groups alone, but `{layer}` {why}; "
        "use another model or rewrite this layer"
    )


def _has_channels(module: Any) -> bool:
    kind = find_kind(module)
    return kind is None or kind.has_channels(module)


class _Joining(BasePruningFunc):  # type: ignore[misc]
    """What Torch-Pruning asks about layers of a kind that it does not know; it cuts none itself."""

    def __init__(self, kind: LayerKind) -> None:
        super().__init__()
        self._kind = kind

    def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
        return layer

    def prune_in_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
        return layer

    def get_in_channels(self, layer: nn.Module) -> int:
        return self._kind.channels(layer)[0]

    def get_out_channels(self, layer: nn.Module) -> int:
        return self._kind.channels(layer)[1]


class _Passing(_Joining):
    # one function for both is how Torch-Pruning is told that inputs and outputs go together
    prune_in_channels = _Joining.prune_out_channels


def _unknown_to_torch_pruning(network: nn.Module) -> dict[type[nn.Module], BasePruningFunc]:
    found = {
        type(module): find_kind(module)
        for module in network.modules()
        if module2type(module) == OPTYPE.ELEMENTWISE
    }
    return {
        cls: (_Joining if kind.has_matrix else _Passing)(kind)
        for cls, kind in found.items()
        if kind is not None
    }


def _build(network: nn.Module, example: Tensor) -> Any:
    with quiet(), torch.enable_grad():
        return DependencyGraph().build_dependency(
            network,
            example,
            customized_pruners=_unknown_to_torch_pruning(network),
            verbose=False,
        )


def _first_that_fails(network: nn.Module, example: Tensor) -> nn.Module:
    """The innermost module that cannot be followed by itself, `network` where no part fails."""
    given: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            given[layer] = inputs[0]

    hooks = [child.register_forward_pre_hook(note) for child in network.children()]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    for child, inputs in given.items():
        try:
            if any(True for _ in child.parameters()):
                _build(child, inputs)
        except Exception:
            return _first_that_fails(child, inputs)
    return network


def _limited(add: Callable[..., None], limit: int) -> Callable[..., None]:
    def add_one(group: Group, *args: Any, **named: Any) -> None:
        if len(group) > limit:
            raise RecursionError("they depend on themselves, shifted")
        add(group, *args, **named)

    return add_one


@contextmanager
def _unless_it_fails(layer: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise refuse(layer, _unfollowed(error)) from error


def _unfollowed(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    return f"has channels that cannot be followed ({type(error).__name__}: {first})"
