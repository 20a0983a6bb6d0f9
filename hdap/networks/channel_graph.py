"""Which channels go together: a thin, checked view of Torch-Pruning's dependency graph."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_pruning import DependencyGraph
from torch_pruning.dependency import index_mapping
from torch_pruning.ops import OPTYPE

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.quiet import quiet

Indices = NDArray[np.int64]

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


@dataclass(frozen=True, eq=False)
class Touch:
    """A layer that loses channels when channels of a root convolution go.

    `indices` are the layer's own channels and `roots` the root channels that they go with, one for
    one. `module` is on meta; it is a parameter where the network holds one outside of any layer.
    """

    name: str
    module: nn.Module | nn.Parameter
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

    def __init__(self, module: nn.Module, input_shape: tuple[int, int, int]) -> None:
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
            if node.type in _PASSIVE or _shared_slope(node.module):
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

    def cut(self, layer: nn.Module, inputs: Indices, outputs: Indices) -> None:
        """Take input and output channels from a real layer, in place.

        For a layer whose inputs are its outputs (norms, depthwise convolutions) give `outputs`.
        """
        if isinstance(layer, nn.LayerNorm):
            _cut_layer_norm(layer, outputs)
            return
        pruner = self._graph.get_pruner_of_module(layer)
        if len(inputs):
            pruner.prune_in_channels(layer, inputs.tolist())
        if len(outputs):
            pruner.prune_out_channels(layer, outputs.tolist())

    def _group(self, root: str, channels: Sequence[int]) -> Any:
        module = self.network.get_submodule(root)
        pruner = self._graph.get_pruner_of_module(module)
        # Torch-Pruning works out all offsets anew for each question, in time quadratic in the
        # inputs of a concatenation. They cannot have changed: nothing is pruned in this graph.
        unchanged = patch.object(index_mapping, "update_index_mapping", lambda graph: None)
        with unchanged, _unless_it_fails(root):
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


def _shared_slope(module: nn.Module | nn.Parameter) -> bool:
    return isinstance(module, nn.PReLU) and module.num_parameters == 1


def _cut_layer_norm(norm: nn.LayerNorm, outputs: Indices) -> None:
    # Torch-Pruning 1.6.1 keeps the channels of a LayerNorm in the order of a set, which is not
    # sorted: weights would change places.
    kept = np.setdiff1d(np.arange(norm.normalized_shape[-1]), outputs)
    for name, parameter in list(norm.named_parameters()):
        index = torch.as_tensor(kept, device=parameter.device)
        setattr(norm, name, nn.Parameter(parameter.detach().index_select(-1, index)))
    norm.normalized_shape = (*norm.normalized_shape[:-1], len(kept))


def _build(network: nn.Module, example: Tensor) -> Any:
    with quiet(), torch.enable_grad():
        return DependencyGraph().build_dependency(network, example, verbose=False)


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


@contextmanager
def _unless_it_fails(layer: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise refuse(layer, _unfollowed(error)) from error


def _unfollowed(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    return f"has channels that cannot be followed ({type(error).__name__}: {first})"
