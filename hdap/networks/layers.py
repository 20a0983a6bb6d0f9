"""What one torch layer contributes to an `Architecture`: its shape, channels and parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hdap.fleet_data.architecture import Channels, Layer
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import refuse
from hdap.networks.forward_pass import run_once
from hdap.networks.layer_kinds.registry import find_kind, kind_of

Terms = tuple[tuple[int, int], ...]
"""(width group, factor) of one side of a layer."""


@dataclass(frozen=True)
class Shape:
    """Height and width before and after a layer; (1, positions) where there is no image."""

    input_size: tuple[int, int]
    output_size: tuple[int, int]


def observe(network: nn.Module, input_shape: tuple[int, ...]) -> dict[str, Shape]:
    """Shapes of all layers of known kinds that a forward pass of one image uses, in module order.

    Raises `UnsupportedModelError` when the network does not run, gives anything but one tensor, or
    uses a layer twice or one that its kind refuses.
    """
    seen: dict[str, Shape] = {}

    def see(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if name in seen:
            raise refuse(name, "is used more than once")
        kind = kind_of(layer)
        if why := kind.refusal(layer):
            raise refuse(name, why)
        seen[name] = Shape(kind.size(layer, inputs[0]), kind.size(layer, output))

    with _watching(network, see):
        output = run_once(network, input_shape)
    if not isinstance(output, Tensor):
        raise UnsupportedModelError(
            f"a network must return one tensor, but got {type(output).__name__}; "
            "wrap it in a module that returns one"
        )
    return {name: seen[name] for name, _ in network.named_modules() if name in seen}


@contextmanager
def _watching(network: nn.Module, see: Any) -> Iterator[None]:
    def hook_for(name: str) -> Any:
        return lambda layer, inputs, output: see(name, layer, inputs, output)

    hooks = [
        layer.register_forward_hook(hook_for(name))
        for name, layer in network.named_modules()
        if find_kind(layer) is not None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def parameters_of(layer: nn.Module) -> int:
    """How many parameters the layer itself holds."""
    return sum(p.numel() for p in layer.parameters(recurse=False))


def layer_of(
    name: str,
    module: nn.Module,
    shape: Shape,
    inputs: Terms,
    outputs: Terms,
    widths: tuple[int, ...],
) -> Layer:
    """Description of one layer whose channels move with the (group, factor) terms given."""
    kind = kind_of(module)
    dense_in, dense_out = kind.channels(module)
    strange = {n for n, _ in module.named_parameters(recurse=False)} - set(kind.tensors)
    if strange:
        raise refuse(name, f"has parameters of its own kind ({', '.join(sorted(strange))})")
    beside = parameters_of(module)
    if kind.has_matrix:
        beside -= module.get_parameter("weight").numel()
    if beside % dense_out:
        raise refuse(name, f"has {beside} parameters for {dense_out} channels")
    common = Layer(
        name=name,
        kind=kind.counted_as,
        inputs=_channels(dense_in, inputs, widths),
        outputs=_channels(dense_out, outputs, widths),
        input_size=shape.input_size,
        output_size=shape.output_size,
        parameters_per_output=beside // dense_out,
    )
    return kind.record(module, common)


def _channels(dense: int, terms: Terms, widths: tuple[int, ...]) -> Channels:
    return Channels(dense - sum(factor * widths[group] for group, factor in terms), terms)
