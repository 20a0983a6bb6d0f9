"""The operators that torch's ONNX exporter knows, read once and not for every export.

The exporter parses the source of some 500 functions each time, half of what a small network takes.
It has no public door to keep them, so this goes through a private one, and a torch without that
door exports as it always did.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

_REGISTRATION = "torch.onnx._internal.exporter._registration"
_READ = "from_torchlib"


@contextmanager
def operators_read_once() -> Iterator[None]:
    """Inside, exports share the operators: they look them up and change nothing."""
    registry = _registry()
    read = getattr(registry, _READ, None)
    if read is None:
        yield
        return
    setattr(registry, _READ, _kept(read))
    try:
        yield
    finally:
        setattr(registry, _READ, read)


@cache
def _kept(read: Callable[..., Any]) -> Any:
    return staticmethod(cache(read))


@cache
def _registry() -> Any:
    # not at the top: a second of imports that an export alone needs
    try:
        return getattr(import_module(_REGISTRATION), "ONNXRegistry", None)
    except ImportError:
        return None
