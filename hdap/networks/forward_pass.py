"""Running a network that nobody knows: once, in eval mode, quietly; what fails is named."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hdap.fleet_data.errors import UnsupportedModelError

_TALKATIVE = ("timm", "huggingface_hub", "torch", "urllib3")


def run_once(network: nn.Module, input_shape: Sequence[int]) -> Any:
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


def random_images(network: nn.Module, input_shape: Sequence[int], batch: int, seed: int) -> Tensor:
    """Standard normal numbers, batch x channels x height x width, as the network takes them."""
    first = next(network.parameters())
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *input_shape, generator=generator).to(first.device, first.dtype)


def leaves(output: Any) -> list[Tensor]:
    """Every tensor in what a network returns: lists, tuples, dicts and dataclasses, in order.

    Raises `UnsupportedModelError` where there is none.
    """
    found: list[Tensor] = []
    waiting = [output]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, Tensor):
            found.append(item)
        elif is_dataclass(item) and not isinstance(item, type):
            waiting[:0] = [getattr(item, f.name) for f in fields(item)]
        elif isinstance(item, Mapping):
            waiting[:0] = list(item.values())
        elif isinstance(item, list | tuple):
            waiting[:0] = list(item)
    if not found:
        raise UnsupportedModelError(
            f"a network must return tensors, but returned {type(output).__name__}; "
            "wrap it in a module that does"
        )
    return found
