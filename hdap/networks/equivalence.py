"""Proof that pruning takes away what it says: a pruned network against the same network, masked.

Counts alone cannot tell a right channel from a wrong one (a concatenation whose offsets are off by
three, a channel shuffle). A network in which every consumer ignores the removed channels computes
the same as one without them, whatever its weights are; so random weights decide.

Three things keep a difference from hiding. Every layer's input is compared, not the output alone:
nothing downstream can swallow it. Every layer's weights are scaled until its activations have the
size that a round asks for: a softmax that is one-hot or a clamp that is full in one round is not in
another. And a later round takes away what the first left, so that no channel is always there.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.forward_pass import leaves, quiet, run, run_once
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.surgery import gone_places, kept_channels, take_away
from hdap.networks.walk.walking import copied

_ATEN = torch.ops.aten

# As a share of a layer's largest input: rounding in float64 stays far below it.
_TOLERANCE = 1e-9

# Standard deviation of the activations in each round, against what saturates, cuts or is steep.
_SIZES = (1.0, 0.01, 100.0)

# FLOPs of the thin network beyond which one round must do, and the other tests of it with more
# than one size of activations: a second on one core in float64.
_HEAVY = 2e9

# Channels (in each block) of the thin network that stands for the real one.
_THIN = (4, 9)

# How much smaller an image may be: channels do not depend on it.
_SHRINK = 4

# Parameters and buffers that are added or taken away, whatever layer they are of.
_ADDED = ("bias", "running_mean")


def verify_equivalence(
    graph: ChannelGraph, architecture: Architecture, groups: Collection[str]
) -> None:
    """Prune a random half of each of `groups`, then the other, and compare what layers are given.

    A thin copy with random weights stands for the network. Raises `UnsupportedModelError` with the
    first layer that is given other numbers than those of the channels that stay.
    """
    thin = _thinned(graph, architecture, groups)
    left = np.array([g.width for g in thin.groups])
    image = _image(thin.network, architecture.input_shape)
    share = image.numel() / math.prod(architecture.input_shape)
    heavy = int(flops(architecture, left[None])[0]) * share > _HEAVY
    with _one_thread(not heavy), torch.no_grad():
        _verify(thin, image, groups, _SIZES[: 1 if heavy else len(_SIZES)])


def masked(network: nn.Module, graph: ChannelGraph, gone: Indices) -> nn.Module:
    """A copy of `network` in which nothing that applies weights sees the places `gone`."""
    blind = copy.deepcopy(network)
    tensors = {**dict(blind.named_parameters()), **dict(blind.named_buffers())}
    for name, dim in graph.consumed:
        places = graph.tensors.get((name, dim))
        if places is not None:
            lost = torch.from_numpy(np.flatnonzero(np.isin(places, gone)))
            tensors[name].data.index_fill_(dim, lost.to(tensors[name].device), 0.0)
    return blind


def pruning_error(network: nn.Module, graph: ChannelGraph, gone: Indices, images: Tensor) -> float:
    """How far the outputs without the places `gone` are from those of the masked network.

    Relative to the largest output; norms that take channels together act on each alone in both.
    `network` has numbers, and is not changed. Raises `UnsupportedModelError` where it does not run.
    """
    pruned = copy.deepcopy(network)
    take_away(pruned, graph, gone)
    blind = masked(network, graph, gone)
    with _separate(blind, pruned):
        expected = leaves(run(blind, images))
        got = leaves(run(pruned, images))
    if [x.shape for x in got] != [x.shape for x in expected]:
        return float("inf")
    scale = max(float(x.abs().max()) for x in expected if x.numel()) or 1.0
    return max(float((x - y).abs().max()) for x, y in zip(got, expected, strict=True)) / scale


def _thinned(
    graph: ChannelGraph, architecture: Architecture, groups: Collection[str]
) -> ChannelGraph:
    """The graph of a network with few channels in `groups`: as such, but fast to run."""
    rng = np.random.default_rng(0)
    counts = rng.integers(*_THIN, len(architecture.groups)) * architecture.multiples
    kept = [
        np.arange(g.width)
        if g.name not in groups
        else kept_channels(np.zeros(g.width), min(int(n), g.width), g.multiple)
        for g, n in zip(architecture.groups, counts, strict=True)
    ]
    gone = gone_places(graph, architecture, kept)
    network = copy.deepcopy(graph.network)
    take_away(network, graph, gone)
    return graph.after(gone, network)


def _verify(
    graph: ChannelGraph, image: Tensor, groups: Collection[str], sizes: Sequence[float]
) -> None:
    halves = _halves(graph, groups)
    for turn, size in enumerate(sizes):
        numbered = _with_random_weights(graph.network, size, seed=turn)
        if len(sizes) > 1:
            _calibrate(numbered, image * size, size)
        gone = halves[turn % 2]
        pruned = copy.deepcopy(numbered)
        take_away(pruned, graph, gone)
        given = _Given(graph, gone)
        blind = masked(numbered, graph, gone)
        with given.recorded(blind), _separate(blind):
            expected = leaves(run(blind, image * size))
        with given.compared(pruned), _separate(pruned):
            outputs = leaves(run(pruned, image * size))
        if len(outputs) != len(expected) or not all(map(_same, outputs, expected)):
            raise given.refusal("the output")


def _halves(graph: ChannelGraph, groups: Collection[str]) -> tuple[Indices, Indices]:
    """Places of each of `groups` that go: a random half of them, or as many of the others."""
    rng = np.random.default_rng(0)
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for group in graph.groups:
        count = group.width // group.multiple
        order = rng.permutation(count)
        if group.name in groups and count > 1:
            stay = max(count // 2, 1)
            first.append(graph.places(group.name, order[stay:]))
            second.append(graph.places(group.name, order[: count - stay]))
    return np.concatenate(first), np.concatenate(second)


class _Given:
    """What layers of the masked network were given, to compare a pruned one with as it runs."""

    def __init__(self, graph: ChannelGraph, gone: Indices) -> None:
        self._stay: dict[str, list[Tensor]] = defaultdict(list)
        for layer in graph.layers:
            if not layer.is_product:
                stays = np.flatnonzero(~np.isin(layer.inputs, gone))
                self._stay[layer.name].append(torch.from_numpy(stays))
        self._inputs: dict[str, list[Tensor]] = defaultdict(list)
        self._seen: dict[str, int] = defaultdict(int)
        self._between: list[str] = []

    @contextmanager
    def recorded(self, network: nn.Module) -> Iterator[None]:
        """Notes the input of every layer while it runs; raises nothing."""

        def note(name: str, inputs: tuple[Any, ...]) -> None:
            # in place, what follows may change it
            self._inputs[name].append(inputs[0].clone())

        with _before_layers(network, note):
            yield

    @contextmanager
    def compared(self, pruned: nn.Module) -> Iterator[None]:
        """While it runs, raises `UnsupportedModelError` at the first layer of another input."""

        def compare(name: str, inputs: tuple[Any, ...]) -> None:
            use = self._seen[name]
            self._seen[name] += 1
            layer = pruned.get_submodule(name)
            kind = kind_of(layer)
            if not kind.has_channels(layer) or use >= len(self._stay[name]):
                return
            whole = self._inputs[name][use]
            dim = kind.channel_dim(layer, inputs[0])
            if not _same(inputs[0], whole.index_select(dim, self._stay[name][use])):
                raise self.refusal(f"`{name}`")
            self._between.clear()

        passed = [
            module.register_forward_hook(lambda *_, name=name: self._between.append(name))
            for name, module in pruned.named_modules()
            if name and find_kind(module) is None and not _holds_layers(module)
        ]
        try:
            with _before_layers(pruned, compare):
                yield
        finally:
            for handle in passed:
                handle.remove()

    def refusal(self, at: str) -> UnsupportedModelError:
        """The error for another input of a layer, or another output."""
        why = "mixes channels, reorders them, or depends on how many there are"
        if len(self._between) == 1:
            return refuse(self._between[0], f"{why} ({at} after it shows it)")
        within = f" ({', '.join(self._between)})" if self._between else ""
        return refuse(at.strip("`"), f"comes after something{within} that {why}")


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
        if packet is _ATEN.native_group_norm:
            image, weight, bias = args[:3]
            shape = [-1, *[1] * (image.dim() - 2)]
            return (_affine(image, *(_shaped(x, shape) for x in (weight, bias))), *outputs[1:])
        if packet is _ATEN.native_batch_norm and args[5]:  # weights that are standardised
            image, weight, bias = args[:3]
            shape = [-1, *[1] * (image.dim() - 2)]
            return (_affine(image, *(_shaped(x, shape) for x in (weight, bias))), *outputs[1:])
        return outputs


@contextmanager
def _separate(*networks: nn.Module) -> Iterator[None]:
    """Inside, every norm of these networks acts on each channel alone."""
    handles = [
        layer.register_forward_hook(_scaled)
        for network in networks
        for layer in network.modules()
        for kind in [find_kind(layer)]
        if kind is not None and kind.opaque
    ]
    try:
        with _Separate():  # type: ignore[no-untyped-call]
            yield
    finally:
        for handle in handles:
            handle.remove()


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


@contextmanager
def _one_thread(asked: bool) -> Iterator[None]:
    """Sharing out layers of so few channels costs more than it saves, most on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if asked else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _before_layers(
    network: nn.Module, see: Callable[[str, tuple[Any, ...]], None]
) -> Iterator[None]:
    handles = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: see(name, inputs))
        for name, layer in network.named_modules()
        if find_kind(layer) is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _holds_layers(module: nn.Module) -> bool:
    return any(find_kind(part) is not None for part in module.modules())


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same but for rounding, and overflow at the same places."""
    if left.shape != right.shape:
        return False
    if not left.numel():
        return True
    left, right = (x.double().nan_to_num(0.0, 0.0, 0.0) * x.isfinite() for x in (left, right))
    return bool((left - right).abs().max() <= _TOLERANCE * right.abs().max())


def _image(network: nn.Module, shape: Sequence[int]) -> Tensor:
    """A random image; a smaller one where the network takes that too."""
    channels, *sides = shape
    rng = torch.Generator().manual_seed(0)
    small = [channels, *(max(side // _SHRINK, 1) for side in sides)]
    try:
        with quiet():
            run_once(network, tuple(small))
    except UnsupportedModelError:
        small = list(shape)
    return torch.randn(1, *small, generator=rng, dtype=torch.float64)


def _with_random_weights(network: nn.Module, size: float, seed: int) -> nn.Module:
    """A copy in float64 with random numbers everywhere."""
    numbered = copied(network, _empty).eval()
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in [*numbered.named_parameters(), *numbered.named_buffers()]:
        if not tensor.is_floating_point():
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 2)  # such as places
        elif tensor.dim() > 1:  # variance 2 / inputs keeps activations of one size (He et al.)
            bound = (6.0 / max(tensor[0].numel(), 1)) ** 0.5
            tensor.uniform_(-bound, bound, generator=rng)
        elif name.endswith(_ADDED):
            tensor.uniform_(-size, size, generator=rng)
        else:  # factors, variances
            tensor.uniform_(0.5, 1.5, generator=rng)
    return numbered


def _empty(tensor: Tensor) -> Tensor:
    dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
    return torch.empty_like(tensor, dtype=dtype, device="cpu")


def _calibrate(network: nn.Module, image: Tensor, size: float) -> None:
    """Scale each layer's matrix so that what it makes of the image has this standard deviation.

    (Mishkin and Matas, "All you need is a good init", ICLR 2016, in one pass.)
    """

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        dim = kind_of(layer).channel_dim(layer, output)
        shift = (
            0.0 if bias is None else bias.view([-1, *[1] * (output.dim() - dim % output.dim() - 1)])
        )
        bare = output - shift
        deviation = bare.std(correction=0)
        if not (0 < deviation < torch.inf):
            return output
        weight.mul_(size / deviation)
        return bare * (size / deviation) + shift

    handles = [
        layer.register_forward_hook(scale)
        for layer in network.modules()
        for kind in [find_kind(layer)]
        if kind is not None and kind.has_matrix and "weight" in layer._parameters
    ]
    with _separate(network):
        run(network, image)
    for handle in handles:
        handle.remove()
