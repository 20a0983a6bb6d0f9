"""LiteRT (TensorFlow Lite), with XNNPACK on the CPU: a `.tflite`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from hdap.device.runtimes.base import OpenNetwork, Runtime, check_there, no_network, only_cpu

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image


class LiteRtNetwork(OpenNetwork):
    """One interpreter, which runs one input at a time."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter, self._lock = interpreter, threading.Lock()
        (found,) = interpreter.get_input_details()
        self._input = found["index"]
        self._outputs = [output["index"] for output in interpreter.get_output_details()]
        self.shape = tuple(int(size) for size in found["shape"])

    def run(self, image: Image) -> Sequence[Image]:
        """See `OpenNetwork`."""
        with self._lock:
            self._interpreter.set_tensor(self._input, image)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(output) for output in self._outputs]


class LiteRtRuntime(Runtime):
    """On the CPU; inputs and outputs of a quantised network must be float32."""

    name = "litert"
    suffix = ".tflite"
    precisions = ("float32", "int8")
    package = "ai-edge-litert"

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        self._package = self.imported("ai_edge_litert.interpreter")
        only_cpu(provider)
        super().__init__(threads, "cpu", precision)

    @property
    def version(self) -> str:
        """Of ai-edge-litert."""
        return metadata.version("ai-edge-litert")

    def open(self, path: str) -> LiteRtNetwork:
        """Read it and lay out its memory."""
        check_there(path)
        try:
            interpreter = self._package.Interpreter(model_path=path, num_threads=self.threads)
            interpreter.allocate_tensors()
            return LiteRtNetwork(interpreter)
        except Exception as error:
            raise no_network(path, "litert", error) from error
