"""All runtimes by name."""

from __future__ import annotations

from hdap.device.messages import choose
from hdap.device.runtimes.base import Runtime
from hdap.device.runtimes.onnx_runtime import OnnxRuntime

RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime
    for runtime in (OnnxRuntime,)  # a runtime more is a file beside it and its class here
}


def load_runtime(name: str = "onnxruntime", threads: int = 1, provider: str = "cpu") -> Runtime:
    """A runtime ready to open networks; raises `DeviceError`."""
    return choose("a runtime", RUNTIMES, name)(threads, provider)
