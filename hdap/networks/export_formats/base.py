"""The contract of an export format."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import InputShape, InputShapes
from hdap.fleet_data.atomic_files import of_the_disk
from hdap.fleet_data.errors import InputError, UnsupportedModelError, told
from hdap.networks.forward_pass import named_leaves, quiet
from hdap.networks.onnx_files import OPSET

Shape = InputShapes
Runner = Callable[..., Any]
"""From a batch of inputs (several by name) to one tensor, or several by the network's names."""


@dataclass(frozen=True)
class ExportOptions:
    """`opset` is ONNX's alone; without `dynamic_batch` the batch size is 1.

    `precision` is one of the format's; `int8` is calibrated on the inputs of `calibration`, each a
    batch of one, or on random ones where there are none.
    """

    opset: int = OPSET
    dynamic_batch: bool = False
    precision: str = "float32"
    calibration: tuple[Tensor, ...] = ()

    def inputs(self, shape: InputShape) -> tuple[Tensor, ...]:
        """What `int8` is calibrated on."""
        generator = torch.Generator().manual_seed(0)
        return self.calibration or tuple(
            torch.randn(1, *shape, generator=generator) for _ in range(RANDOM_INPUTS)
        )


RANDOM_INPUTS = 8
"""Enough for the ranges of random numbers, which differ little from one input to the next."""


class ExportFormat(ABC):
    """One kind of file. Stateless; the network given is in eval mode on the CPU.

    It gives one tensor, or several by name, a flat mapping: `export` makes it so. A format that
    takes one input only says so with `one_input`.
    `hdap.networks.exporting.export` opens what was written and compares it with torch, before the
    file takes its place. A package that is missing is an `InputError` with what installs it.
    """

    suffix: ClassVar[str] = ""
    """That the file must have; any where it is empty."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Suffixes of the files that may be written beside it."""
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    any_batch: ClassVar[bool] = True
    """Whether `dynamic_batch` is possible."""

    @abstractmethod
    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        """Write `file`, and where the format must, others beside it in the same (empty) folder.

        Raises `UnsupportedModelError` where the network cannot be written that way.
        """

    @abstractmethod
    def open(self, file: Path) -> Runner:
        """A function from inputs to output that runs what is in `file`."""


@contextmanager
def followed(exporter: str) -> Iterator[None]:
    """Inside, what an exporter raises becomes an `UnsupportedModelError` that names it; quietly.

    What the disk refuses stays an `OSError`: exporters keep files of their own on the way.
    """
    try:
        with quiet():
            yield
    except Exception as error:
        if of_the_disk(error):
            raise
        raise failed(f"{exporter} must be able to follow the network", error) from error


def failed(what: str, error: Exception) -> UnsupportedModelError:
    """The error for a network that a format cannot hold, or hold so that it runs."""
    first = str(error).strip().partition("\n")[0]
    return UnsupportedModelError(
        f"{what}, but failed with {type(error).__name__}: {first}; try another format"
    )


def optional(module: str, extra: str) -> Any:
    """A module of a package that only some formats need; `InputError` says what installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"`{extra}` must be installed for this, but {told(error)}; install it: "
            f"python3 -m pip install 'hdap[{extra}]'"
        ) from error


class OutputsInOrder(nn.Module):
    """A network whose outputs are a tuple, for converters that know no mappings."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Any:
        found = tuple(named_leaves(self.network(image)).values())
        return found if len(found) > 1 else found[0]


def by_name(names: Sequence[str], outputs: Sequence[Any]) -> Any:
    """What a `Runner` gives: one tensor, or several by name."""
    tensors = [torch.as_tensor(one) for one in outputs]
    return tensors[0] if list(names) == ["output"] else dict(zip(names, tensors, strict=True))
