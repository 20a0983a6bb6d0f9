"""A network that runs at every configuration within its levels, from one set of weights."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hdap.elastic.channel_order import channel_orders, reorder
from hdap.elastic.channel_places import places
from hdap.elastic.levels import Levels
from hdap.elastic.sliced_layers import Binding, ChannelPart, Picks, picks, take
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import check_counts
from hdap.fleet_data.errors import InputError
from hdap.networks.counting import bytes_of
from hdap.networks.following import follow_channels
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import kind_of
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.network_copies import duplicate
from hdap.networks.surgery import Scores, keep
from hdap.training.network_quality import recalibrate


class Tensors(nn.Module):
    """Parameters and buffers by name; dots of a name become slashes, which modules allow."""

    def add(self, name: str, tensor: Tensor) -> None:
        """Hold a parameter, or any other tensor as a buffer."""
        if isinstance(tensor, nn.Parameter):
            self.register_parameter(name.replace(".", "/"), tensor)
        else:
            self.register_buffer(name.replace(".", "/"), tensor)

    def get(self, name: str) -> Tensor:
        """The tensor of that name."""
        tensor: Tensor = getattr(self, name.replace(".", "/"))
        return tensor


class ElasticModel(nn.Module):
    """One network as many: levels to switch between, and every configuration in between.

    The channels of each width group lie in order of importance, so a configuration is a prefix of
    every tensor, and layers run on views of the one set of weights (`shared`). Norms alone are
    kept once a level (`norms`), as slimmable networks do (Yu et al., ICLR 2019, 3.3): their
    statistics differ with the width before them. Where a configuration is no prefix of a tensor
    (concatenated inputs, convolutions of several groups), it is gathered for each forward pass.

    Call the model itself, not `network`: the call lets gradients through to the shared weights.
    """

    order: Tensor

    def __init__(
        self,
        module: nn.Module,
        architecture: Architecture,
        levels: Levels | Counts | Sequence[Sequence[int] | Counts],
        *,
        scores: Sequence[Scores] | None = None,
        ordered: bool = False,
    ) -> None:
        """A copy of `module` at its widest level; `module` is not changed.

        `levels` is `levels x groups`, the narrowest first. `scores` holds one array of `width`
        numbers a group, the highest stay longest (see `hdap.networks.criteria`; by default
        `lookahead_scores`). `ordered`: the channels lie in order already.

        Raises `InputError` for levels or scores that do not fit and `UnsupportedModelError` when
        the network does not compute the same with its channels in another order.
        """
        super().__init__()
        if not isinstance(levels, Levels):
            levels = Levels(architecture, np.asarray(levels))
        shape = architecture.one_input("an elastic network")
        graph = follow_channels(module, shape)
        graph.require_plain("an elastic network")
        everything = [np.arange(group.width) for group in architecture.groups]
        network = keep(module, architecture, everything, graph=graph)
        self.architecture, self.levels = architecture, levels
        self._places = places(graph, architecture)
        orders: list[Indices] = everything
        if not ordered:
            if scores is None:
                scores = lookahead_scores(network, architecture, graph=graph)
            orders = channel_orders(architecture, scores)
            reorder(network, self._places, orders, shape)
        self.register_buffer("order", torch.from_numpy(np.concatenate(orders).astype(np.int32)))
        self.dense_bytes = bytes_of(network)
        self.network, self.shared = network, Tensors()
        self.norms = nn.ModuleList(Tensors() for _ in range(len(levels)))
        self._names = {name: self._take_from(name) for name in self._places}
        self._rebuild()
        self.train(module.training)

    def forward(self, images: Tensor) -> Tensor:
        """The output of the configuration that is set, for `n x C x H x W` images."""
        self._active.prepare(torch.is_grad_enabled())
        output: Tensor = self.network(images)
        return output

    @property
    def level(self) -> int | None:
        """The level that is set; None for a configuration that was set by its counts."""
        return self._level

    @property
    def configuration(self) -> Counts:
        """Channel counts that are set, `groups`."""
        return self._counts.copy()

    def set_level(self, level: int) -> None:
        """Run at level `level` (0: the narrowest) from now on; nothing is copied.

        Raises `InputError` when there is no such level.
        """
        if not 0 <= level < len(self._bindings):
            raise InputError(
                f"a level must be one of 0..{len(self._bindings) - 1}, but got {level}"
            )
        self._set(self._bindings[level], self.levels.counts[level], level)

    def set_configuration(self, counts: Counts | Sequence[int]) -> None:
        """Run at any configuration (`groups`) within the widest level from now on.

        One that is a level gets that level's norms. Any other gets those channels' norms of the
        narrowest level that covers it, whose statistics are of a wider network until `recalibrate`;
        what that finds lasts until another configuration is set.

        Raises `InputError` for counts that are not valid or beyond the widest level.
        """
        row = check_counts(self.architecture, np.atleast_2d(np.asarray(counts)))[0]
        covering = self.levels.covering(row)
        if (row == self.levels.counts[covering]).all():
            self.set_level(covering)
        else:
            self._set(self._bind(row, covering, own_statistics=True), row, None)

    def recalibrate(self, images: Iterable[Tensor]) -> None:
        """Set the running statistics of the configuration that is set anew, from batches.

        Raises `InputError` when there are none. Statistics of other levels stay.
        """
        recalibrate(self, images)

    @torch.no_grad()
    def materialise(self, level: int | None = None) -> nn.Module:
        """The plain network of a level (by default of what is set), in eval mode.

        It is of the original classes and shares no memory with this model. What is set stays set.
        """
        before = self._active, self._counts, self._level
        if level is not None:
            self.set_level(level)
        self._active.prepare(recording=False)
        plain = duplicate(self.network)
        for name, keys in self._names.items():
            layer = plain.get_submodule(name)
            for key in keys:
                tensor = layer.__dict__.pop(key)
                own = tensor.detach().clone(memory_format=torch.contiguous_format)
                trained = self._tensor(name, key, 0)
                if isinstance(trained, nn.Parameter):
                    layer.register_parameter(key, nn.Parameter(own, trained.requires_grad))
                else:
                    layer.register_buffer(key, own)
        self._set(*before)
        return plain.eval()

    @property
    def extra_bytes(self) -> int:
        """What the tensors of this model take beyond those of the one dense network."""
        return bytes_of(self) - self.dense_bytes

    @property
    def storage_ratio(self) -> float:
        """Bytes of all levels together over those of the one dense network."""
        return bytes_of(self) / self.dense_bytes

    def weights_within(self, level: int) -> dict[str, tuple[Tensor, Picks]]:
        """The shared tensors by name, and the part of each that `level` runs on."""
        found = {}
        for name, keys in self._names.items():
            inputs, outputs = self._places[name].kept(self.architecture, self.levels.counts[level])
            for key in () if self._is_norm(name) else keys:
                tensor = self.shared.get(f"{name}.{key}")
                found[f"{name}.{key}"] = tensor, _picks(tensor, inputs, outputs)
        return found

    def _take_from(self, name: str) -> tuple[str, ...]:
        """Take the tensors of a layer out of `network`; their names."""
        layer = self.network.get_submodule(name)
        named = [*layer._parameters.items(), *layer._buffers.items()]
        held = {key: tensor for key, tensor in named if tensor is not None}
        for key, tensor in held.items():
            (layer._parameters if key in layer._parameters else layer._buffers).pop(key)
            if not self._is_norm(name):
                self.shared.add(f"{name}.{key}", tensor)
                continue
            for level, counts in enumerate(self.levels.counts):
                part = tensor.detach()
                outputs = self._places[name].outputs.kept(self.architecture, counts)
                part = take(part, picks(part, outputs) if part.dim() else ()).clone()
                if isinstance(tensor, nn.Parameter):
                    part = nn.Parameter(part, tensor.requires_grad)
                self._norms(level).add(f"{name}.{key}", part)
        return tuple(held)

    def _rebuild(self) -> None:
        """Make the views of all levels anew, after tensors have moved; the widest is set."""
        rows = enumerate(self.levels.counts)
        self._bindings = [self._bind(counts, level) for level, counts in rows]
        self.set_level(len(self._bindings) - 1)

    def _bind(self, counts: Counts, level: int, *, own_statistics: bool = False) -> Binding:
        """A configuration with the norms of `level`."""
        binding = Binding()
        for name, keys in self._names.items():
            layer, norm = self.network.get_submodule(name), self._is_norm(name)
            inputs, outputs = self._places[name].kept(self.architecture, counts)
            within = outputs
            if norm:
                _, there = self._places[name].kept(self.architecture, self.levels.counts[level])
                within = np.searchsorted(there, outputs)
            parts = []
            for key in keys:
                tensor = self._tensor(name, key, level)
                chosen = _picks(tensor, inputs, within)
                if own_statistics and norm and not isinstance(tensor, nn.Parameter):
                    tensor, chosen = take(tensor, chosen).clone(), ()
                parts.append(ChannelPart(layer, key, tensor, chosen))
            made = None if inputs is None else len(inputs)
            binding.add(layer, kind_of(layer).attributes(layer, made, len(outputs)), parts)
        return binding

    def _tensor(self, name: str, key: str, level: int) -> Tensor:
        held = self._norms(level) if self._is_norm(name) else self.shared
        return held.get(f"{name}.{key}")

    def _norms(self, level: int) -> Tensors:
        norms = self.norms[level]
        assert isinstance(norms, Tensors)
        return norms

    def _is_norm(self, name: str) -> bool:
        return not kind_of(self.network.get_submodule(name)).has_matrix

    def _set(self, binding: Binding, counts: Counts, level: int | None) -> None:
        binding.bind()
        self._active, self._counts, self._level = binding, counts, level

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As every module; without the versions of its parts the state is taken to be of now."""
        found = OrderedDict(state_dict)
        # Batch norms, which hold no tensors here, would else add counters that old files lack.
        found._metadata = self.state_dict()._metadata  # type: ignore[attr-defined]
        missing = super().load_state_dict(found, strict, assign)
        self._rebuild()
        return missing

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._rebuild()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "ElasticModel":
        # What layers are bound to belongs to this model; non-leaf tensors cannot be copied at all.
        with torch.no_grad():
            self._active.prepare(recording=False)
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        left_out = ("_bindings", "_active")
        kept = {key: value for key, value in self.__dict__.items() if key not in left_out}
        made.__dict__ = copy.deepcopy(kept, memo)
        made._rebuild()
        if self._level is not None:
            made.set_level(self._level)
        else:
            made.set_configuration(self._counts)
        return made


def _picks(tensor: Tensor, inputs: Indices | None, outputs: Indices) -> Picks:
    """What a layer that keeps these channels takes of one of its tensors."""
    if not tensor.dim():
        return ()
    if inputs is None or tensor.dim() == 1:
        return picks(tensor, outputs)
    # a convolution of several groups keeps the same places in each
    return picks(tensor, outputs, inputs[inputs < tensor.shape[1]])
