"""ExecuTorch, with XNNPACK on the CPU: a `.pte`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from hdap.device.runtimes.base import OpenNetwork, Runtime, check_there, no_network, only_cpu

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image


class ExecuTorchNetwork(OpenNetwork):
    """The method `forward` of a program, which runs one input at a time."""

    def __init__(self, torch: Any, program: Any) -> None:
        self._torch, self._lock = torch, threading.Lock()
        self._program = program  # the method needs it for as long as it runs
        self._method = program.load_method("forward")
        self.shape = tuple(self._method.metadata.input_tensor_meta(0).sizes())

    def run(self, image: Image) -> Sequence[Image]:
        """See `OpenNetwork`."""
        with self._lock:
            # outputs lie in the method's own memory, which the next run overwrites
            found = self._method.execute([self._torch.tensor(image)])
            return [one.numpy().copy() for one in found]


class ExecuTorchRuntime(Runtime):
    """On the CPU; its Python package brings torch, a device in C++ needs none."""

    name = "executorch"
    suffix = ".pte"
    precisions = ("float32", "int8")
    package = "executorch"

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        self._package = self.imported("executorch.runtime")
        self._torch = self.imported("torch")
        only_cpu(provider)
        super().__init__(threads, "cpu", precision)

    @property
    def version(self) -> str:
        """Of executorch."""
        return metadata.version("executorch")

    def open(self, path: str) -> ExecuTorchNetwork:
        """Read the program and its method `forward`."""
        check_there(path)
        # one number of threads for all that runs in a process; there is no public door to it
        self.imported("executorch.extension.pybindings.portable_lib")._unsafe_reset_threadpool(
            self.threads
        )
        try:
            return ExecuTorchNetwork(self._torch, self._package.Runtime.get().load_program(path))
        except Exception as error:
            raise no_network(path, "executorch", error) from error
