"""What every runtime on a device does; `docs/add-a-runtime.md` adds one."""

from __future__ import annotations

import importlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hdap.device.messages import DeviceError, choose, first_line

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
    package is missing (with what installs it), or the provider or precision is (with those that are
    there). Importing its file imports nothing but the standard library and numpy.

    `precision` is what its networks compute in. `int8` is in the file, which a quantiser made; the
    others are settings with which a file of float32 is opened. A machine that would silently
    compute in another precision is a `DeviceError` when a network is opened.

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
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    """That `--precision` takes."""
    companion: ClassVar[str] = ""
    """The suffix of a file that lies beside the one that `open` takes, where there may be one."""
    package: ClassVar[str] = ""
    """What `pip install` needs on the device beside numpy."""

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        choose("--precision", dict.fromkeys(self.precisions), precision)
        self.threads, self.provider, self.precision = threads, provider, precision

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
        beside = os.path.splitext(source)[0] + self.companion
        if self.companion and os.path.exists(beside):
            shutil.copyfile(beside, os.path.join(folder, name + self.companion))

    def open_prepared(self, folder: str, name: str) -> OpenNetwork:
        """Open what `prepare` wrote; raises `DeviceError`."""
        return self.open(os.path.join(folder, name + self.suffix))

    @classmethod
    def imported(cls, module: str) -> Any:
        """A module of the runtime's package; raises `DeviceError` with what installs it."""
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise DeviceError(
                f"{cls.package} is needed ({first_line(error)}); install it: "
                f"python3 -m pip install {cls.package}"
            ) from None


def only_cpu(provider: str) -> None:
    """For runtimes that run on the CPU alone; raises `DeviceError` for another provider."""
    if provider.lower() != "cpu":
        raise DeviceError(
            f"--provider must be available here, but got {provider!r}; there are: CPU"
        )


def check_there(path: str) -> None:
    """Raises `DeviceError` where there is no such file: native code says it in other words."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise DeviceError(
            f"{os.path.basename(path)} must be there and readable, but {error.strerror}"
        ) from None


def no_network(path: str, who: str, error: BaseException) -> DeviceError:
    """What `open` raises where `who` cannot read or run the network of `path`."""
    return DeviceError(
        f"{os.path.basename(path)} must be a network that {who} runs, but {first_line(error)[:300]}"
    )
