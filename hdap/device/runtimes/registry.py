"""All runtimes by name."""

from __future__ import annotations

from hdap.device.messages import choose
from hdap.device.runtimes.base import Runtime
from hdap.device.runtimes.executorch_runtime import ExecuTorchRuntime
from hdap.device.runtimes.litert_runtime import LiteRtRuntime
from hdap.device.runtimes.ncnn_runtime import NcnnRuntime
from hdap.device.runtimes.onnx_runtime import OnnxRuntime
from hdap.device.runtimes.openvino_runtime import OpenVinoRuntime
from hdap.device.runtimes.torch_runtime import TorchRuntime

RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime
    for runtime in (  # a runtime more is a file beside it and its class here
        OnnxRuntime,
        OpenVinoRuntime,
        NcnnRuntime,
        TorchRuntime,
        LiteRtRuntime,
        ExecuTorchRuntime,
    )
}


def load_runtime(
    name: str = "onnxruntime",
    threads: int = 1,
    provider: str = "cpu",
    precision: str = "float32",
) -> Runtime:
    """A runtime ready to open networks; raises `DeviceError`."""
    return choose("a runtime", RUNTIMES, name)(threads, provider, precision)
