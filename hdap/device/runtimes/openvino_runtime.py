"""OpenVINO: its own `.xml` with a `.bin` beside it, or ONNX, which its frontend converts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import OpenNetwork, Runtime, check_there, no_network

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image

HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "int8": "f32"}
"""Of `INFERENCE_PRECISION_HINT`; in int8 it is for what the quantiser left alone."""


@lru_cache(maxsize=1)
def the_core(package: Any) -> Any:
    """The one `Core` of `package`, OpenVINO's, in this process.

    Each Core that compiles for a CPU leaves the thread another stack for signals, and takes it away
    when it goes. Where one goes before another that came later, the thread keeps a stack that is no
    longer there, and Ctrl-C is a segmentation fault (OpenVINO 2026.4).
    """
    return package.Core()


class CompiledNetwork(OpenNetwork):
    """One compiled model; every thread has an inference request of its own."""

    def __init__(self, compiled: Any) -> None:
        self._compiled, self._mine = compiled, threading.local()
        self.shape = tuple(
            size.get_length() if size.is_static else 1
            for size in compiled.input(0).get_partial_shape()
        )

    def run(self, image: Image) -> Sequence[Image]:
        """See `OpenNetwork`."""
        request = getattr(self._mine, "request", None)
        if request is None:
            request = self._mine.request = self._compiled.create_infer_request()
        # shared: no copy of the input is timed
        found = request.infer([image], share_inputs=True)
        return [found[i] for i in range(len(self._compiled.outputs))]


class OpenVinoRuntime(Runtime):
    """`provider` is one of OpenVINO's devices, such as `cpu`, `gpu` or `npu`; one stream."""

    name = "openvino"
    suffix = ".xml"
    companion = ".bin"
    providers = ("cpu", "gpu", "npu")
    precisions = tuple(HINTS)
    package = "openvino"

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        self._package = self.imported("openvino")
        self._core = the_core(self._package)
        self._device = provider.upper()
        there = self._core.available_devices
        if self._device not in there:
            raise DeviceError(
                f"--provider must be available here, but got {provider!r}; there are: "
                + ", ".join(there)
            )
        super().__init__(threads, provider.lower(), precision)

    @property
    def version(self) -> str:
        """Of openvino, without its build."""
        return str(self._package.__version__).partition("-")[0]

    @property
    def where(self) -> str:
        """For example `CPU`."""
        return self._device

    @property
    def machine(self) -> str:
        """Runtime and device; what `prepare` writes is read anywhere."""
        return f"{self.name} {self.version} {self._device}"

    def open(self, path: str) -> CompiledNetwork:
        """Compile a `.xml` or `.onnx` for one request at a time, in exactly this precision."""
        check_there(path)
        wanted = HINTS[self.precision]
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": wanted,
        }
        if self._device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self.threads
        try:
            compiled = self._core.compile_model(path, self._device, settings)
        except Exception as error:  # the base of its exceptions is RuntimeError, not always
            # the lines before say where in OpenVINO's own sources it happened
            told = [line for line in str(error).splitlines() if line.strip()][-1:]
            reason = ValueError(*told)
            raise no_network(path, f"openvino on {self._device}", reason) from error
        effective = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if effective != wanted:
            able = ", ".join(self._core.get_property(self._device, "OPTIMIZATION_CAPABILITIES"))
            raise DeviceError(
                f"{self._device} must compute in {self.precision}, but openvino takes {effective} "
                f"on this machine, which has {able}; use another --precision"
            )
        return CompiledNetwork(compiled)
