"""The contract of an export format."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hdap.fleet_data.architecture import InputShapes
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.forward_pass import quiet
from hdap.networks.onnx_files import OPSET

Shape = InputShapes
Runner = Callable[..., Any]
"""From a batch of inputs (several by name) to one tensor, or several by the network's names."""


@dataclass(frozen=True)
class ExportOptions:
    """`opset` is ONNX's alone; without `dynamic_batch` the batch size is 1."""

    opset: int = OPSET
    dynamic_batch: bool = False


class ExportFormat(ABC):
    """One kind of file. Stateless; the network given is in eval mode on the CPU.

    It gives one tensor, or several by name, a flat mapping: `export` makes it so.
    `hdap.networks.exporting.export` opens what was written and compares it with torch, before the
    file takes its place.
    """

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
    """Inside, what an exporter raises becomes an `UnsupportedModelError` that names it; quietly."""
    try:
        with quiet():
            yield
    except Exception as error:
        raise failed(f"{exporter} must be able to follow the network", error) from error


def failed(what: str, error: Exception) -> UnsupportedModelError:
    """The error for a network that a format cannot hold, or hold so that it runs."""
    first = str(error).strip().partition("\n")[0]
    return UnsupportedModelError(
        f"{what}, but failed with {type(error).__name__}: {first}; try another format"
    )
