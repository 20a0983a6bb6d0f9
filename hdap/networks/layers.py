"""What one torch layer contributes to an `Architecture`: its shape, channels and parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from hdap.fleet_data.architecture import Channels, Layer, LayerKind
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import refuse

# PReLU is no norm, but counts like one: its parameters follow the channels and it has no MACs.
NORMS = _BatchNorm | _InstanceNorm | nn.GroupNorm | nn.LayerNorm | nn.PReLU
COUNTED = _ConvNd | nn.Linear | NORMS


@dataclass(frozen=True)
class Shape:
    """Height and width before and after a layer; (1, positions) where there is no image."""

    input_size: tuple[int, int]
    output_size: tuple[int, int]


def is_depthwise(layer: nn.Module) -> bool:
    """Whether `layer` filters each channel by itself."""
    return (
        isinstance(layer, _ConvNd)
        and layer.groups == layer.out_channels == layer.in_channels
        and layer.groups > 1
    )


def observe(network: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, Shape]:
    """Shapes of all counted layers that a forward pass of one image uses, in module order.

    Raises `UnsupportedModelError` when the network does not run, gives anything but one tensor, or
    uses a layer twice or a kind of layer that is not described.
    """
    seen: dict[str, Shape] = {}

    def see(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if name in seen:
            raise refuse(name, "is used more than once")
        if isinstance(layer, _ConvNd) and not isinstance(layer, nn.Conv1d | nn.Conv2d):
            raise refuse(name, f"is a {type(layer).__name__}, which is not described")
        seen[name] = Shape(_size(layer, inputs[0]), _size(layer, output))

    with _watching(network, see):
        output = run_once(network, input_shape)
    if not isinstance(output, Tensor):
        raise UnsupportedModelError(
            f"a network must return one tensor, but got {type(output).__name__}; "
            "wrap it in a module that returns one"
        )
    return {name: seen[name] for name, _ in network.named_modules() if name in seen}


def run_once(network: nn.Module, input_shape: tuple[int, int, int]) -> Any:
    """Output for one image of zeros on the network's device; fails as `run` does."""
    first = next(network.parameters())
    return run(network, torch.zeros(1, *input_shape, device=first.device, dtype=first.dtype))


@torch.no_grad()
def run(network: nn.Module, images: Tensor) -> Any:
    """Output without gradients.

    Raises `UnsupportedModelError` that names the innermost module that failed, or the last that
    worked.
    """
    inside: list[str] = []
    done = ["the input"]
    handles = [
        handle
        for name, layer in network.named_modules()
        for handle in (
            layer.register_forward_pre_hook(lambda *_, name=name: inside.append(name)),
            layer.register_forward_hook(lambda *_: done.append(inside.pop())),
        )
    ]
    try:
        return network(images)
    except UnsupportedModelError:
        raise
    except Exception as error:
        first = str(error).partition("\n")[0]
        place = f"`{inside[-1]}`" if inside and inside[-1] else f"what follows `{done[-1]}`"
        raise UnsupportedModelError(
            f"a network must run on images of shape {tuple(images.shape[1:])}, also when pruned, "
            f"but {place} failed with {type(error).__name__}: {first}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Inside, all of a network is in eval mode; afterwards every part as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _watching(network: nn.Module, see: Any) -> Iterator[None]:
    def hook_for(name: str) -> Any:
        return lambda layer, inputs, output: see(name, layer, inputs, output)

    hooks = [
        layer.register_forward_hook(hook_for(name))
        for name, layer in network.named_modules()
        if isinstance(layer, COUNTED)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _size(layer: nn.Module, tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() == 4 and not isinstance(layer, nn.Linear | nn.LayerNorm):
        return tensor.shape[2], tensor.shape[3]
    channels = tensor.shape[1] if isinstance(layer, nn.Conv1d) else tensor.shape[-1]
    if isinstance(layer, nn.LayerNorm):
        channels = layer.normalized_shape[-1]
    if isinstance(layer, _BatchNorm | _InstanceNorm | nn.GroupNorm | nn.PReLU):
        channels = tensor.shape[1]
    return 1, tensor.numel() // channels


def parameters_of(layer: nn.Module) -> int:
    """How many parameters the layer itself holds."""
    return sum(p.numel() for p in layer.parameters(recurse=False))


def layer_of(
    name: str,
    module: nn.Module,
    shape: Shape,
    inputs: tuple[tuple[int, int], ...],
    outputs: tuple[tuple[int, int], ...],
    widths: tuple[int, ...],
) -> Layer:
    """Description of one layer whose channels move with the (group, factor) terms given."""
    kind, dense_in, dense_out = kind_of(module)
    strange = {n for n, _ in module.named_parameters(recurse=False)} - {"weight", "bias"}
    if strange:
        raise refuse(name, f"has parameters of its own kind ({', '.join(sorted(strange))})")
    conv = module if isinstance(module, _ConvNd) else None
    beside = parameters_of(module)
    if kind != "norm":
        beside -= module.get_parameter("weight").numel()
    if beside % dense_out:
        raise refuse(name, f"has {beside} parameters for {dense_out} channels")
    return Layer(
        name=name,
        kind=kind,
        inputs=_channels(dense_in, inputs, widths),
        outputs=_channels(dense_out, outputs, widths),
        input_size=shape.input_size,
        output_size=shape.output_size,
        kernel=_pair(conv.kernel_size) if conv else (1, 1),
        stride=_pair(conv.stride) if conv else (1, 1),
        groups=conv.groups if conv and not is_depthwise(conv) else 1,
        depthwise=is_depthwise(module),
        parameters_per_output=beside // dense_out,
    )


def kind_of(module: nn.Module) -> tuple[LayerKind, int, int]:
    """Kind, input channels and output channels of a counted layer."""
    match module:
        case _ConvNd():
            return "conv", module.in_channels, module.out_channels
        case nn.Linear():
            return "linear", module.in_features, module.out_features
        case nn.GroupNorm():
            return "norm", module.num_channels, module.num_channels
        case nn.LayerNorm():
            return "norm", module.normalized_shape[-1], module.normalized_shape[-1]
        case nn.PReLU():
            return "norm", module.num_parameters, module.num_parameters
        case _BatchNorm() | _InstanceNorm():
            return "norm", module.num_features, module.num_features
    raise TypeError(f"not a counted layer: {type(module).__name__}")


def _channels(dense: int, terms: tuple[tuple[int, int], ...], widths: tuple[int, ...]) -> Channels:
    return Channels(dense - sum(factor * widths[group] for group, factor in terms), terms)


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    return (1, value[0]) if len(value) == 1 else (value[0], value[1])


def channels_of(module: nn.Module) -> tuple[int, int]:
    """Input and output channels that a counted layer has now."""
    return kind_of(module)[1:]
