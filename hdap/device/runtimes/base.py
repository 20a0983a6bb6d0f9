"""What every runtime on a device does; `docs/add-a-runtime.md` adds one."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.float32]


class OpenNetwork(ABC):
    """A network in memory: one input of float32, one or more outputs.

    `run` may be called from any number of threads at once, changes nothing, and gives the same
    outputs for the same input. Memory is given back when the last reference is gone.
    """

    shape: tuple[int, ...]
    """Of the input, batch first: `1 x 3 x 224 x 224` for an image."""

    @abstractmethod
    def run(self, image: Image) -> Sequence[Image]:
        """All outputs for one input of `shape`, batch first."""


class Runtime(ABC):
    """Opens networks on one provider (where in the device they run) with a number of threads.

    Made where it is used, never copied between processes. Making one raises `DeviceError`: the
    package is missing (with what installs it), or the provider is (with those that are there).
    Importing its file imports nothing but the standard library and numpy.

    Any number of networks may be open; one that rests takes no processor time from one that runs.
    A runtime is measured as it is opened by `open`. Where it can keep weights in mapped files, in
    an order of this machine's own, it overrides `prepare`, `open_prepared` and `machine` too.
    """

    name: ClassVar[str]
    """As telemetry's column `runtime` begins, and as `--runtime` takes it."""
    suffix: ClassVar[str]
    """Of the file that `open` takes."""
    providers: ClassVar[tuple[str, ...]] = ("cpu",)
    """Short names that `--provider` takes."""

    def __init__(self, threads: int = 1, provider: str = "cpu") -> None:
        self.threads, self.provider = threads, provider

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the package that runs the networks."""

    @abstractmethod
    def open(self, path: str) -> OpenNetwork:
        """Read a network; raises `DeviceError`, in one line, where `path` is none or cannot run."""

    @property
    def label(self) -> str:
        """For telemetry: `onnxruntime-1.31.1-cpu-1t`."""
        return f"{self.name}-{self.version}-{self.provider}-{self.threads}t"

    @property
    def where(self) -> str:
        """The provider as the runtime itself calls it."""
        return self.provider

    @property
    def thread_time_tells(self) -> bool:
        """Whether the CPU time of the thread that calls `run` is what an inference costs.

        With more threads CPU times add up, and an accelerator's work is not in them.
        """
        return self.threads == 1 and self.provider == "cpu"

    @property
    def machine(self) -> str:
        """What files of `prepare` depend on beside the network."""
        return f"{self.name} {self.version}"

    def prepare(self, source: str, folder: str, name: str) -> None:
        """Write the network of `source` into `folder` for `open_prepared`; raises `DeviceError`."""
        shutil.copyfile(source, os.path.join(folder, name + self.suffix))

    def open_prepared(self, folder: str, name: str) -> OpenNetwork:
        """Open what `prepare` wrote; raises `DeviceError`."""
        return self.open(os.path.join(folder, name + self.suffix))
