"""Running a network that nobody knows: once, in eval mode, quietly; what fails is named.

Its output is one tensor, or tensors in tuples, lists, mappings and dataclasses, however nested.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.hooks import RemovableHandle

from hdap.fleet_data.architecture import InputShape, InputShapes
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.fleet_data.model_names import written

_TALKATIVE = ("timm", "huggingface_hub", "torch", "urllib3")


Images = Tensor | Mapping[str, Tensor]
"""A batch as a network takes it: one tensor, or several by the names of `forward`'s arguments."""


def call(network: Callable[..., Any], images: Images) -> Any:
    """The output of a network, or of what runs one, whether it takes one tensor or several."""
    return network(**images) if isinstance(images, Mapping) else network(images)


def of_each(shape: InputShapes, make: Callable[[InputShape], Tensor]) -> Images:
    """A tensor for each input, in order."""
    if isinstance(shape, dict):
        return {name: make(sizes) for name, sizes in shape.items()}
    return make(shape)


def zeros(shape: InputShapes, batch: int) -> Images:
    """A batch of zeros on the CPU."""
    return of_each(shape, lambda sizes: torch.zeros(batch, *sizes))


def as_arguments(images: Images) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Inputs as the exporters take them: by place and by name."""
    return ((), dict(images)) if isinstance(images, Mapping) else ((images,), {})


def batches_of(shape: InputShapes, batch: Any) -> Any:
    """`batch` for each input, as torch's exporters take `dynamic_shapes`."""
    return dict.fromkeys(shape, batch) if isinstance(shape, dict) else (batch,)


def run_once(network: nn.Module, input_shape: InputShapes) -> Any:
    """Output for one input of zeros on the network's device; fails as `run` does."""
    first = _numbers(network)

    def make(sizes: InputShape) -> Tensor:
        return torch.zeros(1, *sizes, device=first.device, dtype=first.dtype)

    return run(network, of_each(input_shape, make))


def _numbers(network: nn.Module) -> Tensor:
    """A parameter of the kind of numbers that the network takes: complex ones come of real ones."""
    every = list(network.parameters())
    return next((p for p in every if p.is_floating_point()), every[0])


class RunError(UnsupportedModelError):
    """A network that failed in `module`, the innermost that ran ("": in code of its own)."""

    def __init__(self, module: str, last: str, images: Images, error: Exception) -> None:
        first = str(error).partition("\n")[0]
        sizes = (
            {name: tuple(tensor.shape[1:]) for name, tensor in images.items()}
            if isinstance(images, Mapping)
            else tuple(images.shape[1:])
        )
        place = f"`{module}`" if module else f"what follows `{last}`"
        super().__init__(
            f"a network must run on inputs of {written(sizes)}, also when "
            f"pruned, but {place} failed with {type(error).__name__}: {first}"
        )
        self.module = module


@torch.no_grad()
def run(network: nn.Module, images: Images) -> Any:
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
    with hooked(handles):
        try:
            return call(network, images)
        except UnsupportedModelError:
            raise
        except Exception as error:
            raise RunError(inside[-1] if inside else "", done[-1], images, error) from error


def named_leaves(output: Any) -> dict[str, Tensor]:
    """The tensors of an output by where they are in it: `boxes`, `scores.0`; alone it is `output`.

    In the order of a walk through it; what is no tensor is left out. Raises `UnsupportedModelError`
    where there is none, or two would have one name.
    """
    found = list(_walk(output, ()))
    named = dict(found)
    if not found or len(named) < len(found):
        what = "none" if not found else "two of one name"
        raise UnsupportedModelError(
            f"a network must give tensors, alone or in tuples, lists, mappings and dataclasses, "
            f"but its output ({type(output).__name__}) has {what}; use another model, or wrap it"
        )
    return named


def leaves(output: Any) -> list[Tensor]:
    """All tensors of an output, in order. Raises as `named_leaves`."""
    return list(named_leaves(output).values())


def one_tensor(output: Any, who: str) -> Tensor:
    """An output that is one tensor, as `who` needs it; raises `UnsupportedModelError` else."""
    if isinstance(output, Tensor):
        return output
    names = ", ".join(list(named_leaves(output))[:3])
    raise UnsupportedModelError(
        f"{who} needs a network that gives one tensor, but this gives a {type(output).__name__} "
        f"({names}); wrap it in a factory whose forward returns the one that counts"
    )


@contextmanager
def flat_output(network: nn.Module, input_shape: InputShapes) -> Iterator[tuple[str, ...]]:
    """Inside, an output of more than one tensor is the flat mapping that `named_leaves` gives.

    Every exporter can write that, whatever classes the network's own output is of. Yields the
    names.
    """
    output = run_once(network, input_shape)
    names = tuple(named_leaves(output))
    if isinstance(output, Tensor):
        yield names
        return
    hook = network.register_forward_hook(lambda _network, _inputs, given: named_leaves(given))
    try:
        yield names
    finally:
        hook.remove()


def _walk(output: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield ".".join(path) or "output", output
        return
    inside: Any = ()
    if isinstance(output, Mapping):
        inside = output.items()
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        inside = zip(output._fields, output, strict=True)
    elif isinstance(output, tuple | list):
        path = path or ("output",)
        inside = enumerate(output)
    elif is_dataclass(output) and not isinstance(output, type):
        inside = ((field.name, getattr(output, field.name)) for field in fields(output))
    for name, value in inside:
        yield from _walk(value, (*path, str(name)))


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
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Afterwards the hooks of these handles are gone."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def plain_attention() -> Iterator[None]:
    """Inside, attention runs as the products that it is made of, which can be seen and counted."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and log messages of the model libraries; errors still raise."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@overload
def random_images(network: nn.Module, input_shape: InputShape, batch: int, seed: int) -> Tensor: ...
@overload
def random_images(
    network: nn.Module, input_shape: InputShapes, batch: int, seed: int
) -> Images: ...
def random_images(network: nn.Module, input_shape: InputShapes, batch: int, seed: int) -> Images:
    """Standard normal numbers, a batch of inputs, as the network takes them."""
    first = _numbers(network)
    generator = torch.Generator().manual_seed(seed)

    def make(sizes: InputShape) -> Tensor:
        return torch.randn(batch, *sizes, generator=generator).to(first.device, first.dtype)

    return of_each(input_shape, make)
