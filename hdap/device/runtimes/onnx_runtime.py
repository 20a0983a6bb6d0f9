"""ONNX Runtime.

Fast kernels want weights in an order of their own, and ONNX Runtime copies all of them into each
session to get it. So `prepare` optimises a network once on this device and writes it out in that
order: sessions opened on the result map the file read-only and copy nothing. Networks that rest
cost address space and page cache that the system may take back, no memory of their own.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hdap.device.messages import DeviceError, first_line
from hdap.device.runtimes.base import OpenNetwork, Runtime

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "dml": "DmlExecutionProvider",
    "acl": "ACLExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
}


class OnnxSession(OpenNetwork):
    """One `InferenceSession`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        found = session.get_inputs()[0]
        self._input = found.name
        self.shape = tuple(size if isinstance(size, int) else 1 for size in found.shape)

    def run(self, image: Image) -> Sequence[Image]:
        """See `OpenNetwork`."""
        outputs: Sequence[Image] = self._session.run(None, {self._input: image})
        return outputs


class OnnxRuntime(Runtime):
    """`provider` is one of `PROVIDERS` or a full name; all sessions get the same options."""

    name = "onnxruntime"
    suffix = ".onnx"
    providers = tuple(PROVIDERS)

    precisions = ("float32", "int8")
    package = "onnxruntime"

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        self._ort = self.imported("onnxruntime")
        self._full = PROVIDERS.get(provider.lower(), provider)
        there = self._ort.get_available_providers()
        if self._full not in there:
            raise DeviceError(
                f"--provider must be available here, but got {provider!r}; there are: "
                + ", ".join(there)
            )
        short = {full: name for name, full in PROVIDERS.items()}
        super().__init__(threads, short.get(self._full, self._full), precision)

    @property
    def version(self) -> str:
        """Of onnxruntime."""
        return str(self._ort.__version__)

    @property
    def where(self) -> str:
        """For example `CPUExecutionProvider`."""
        return self._full

    @property
    def machine(self) -> str:
        """What the order of weights depends on beside the network: runtime and processor."""
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                wanted = ("model name", "flags", "Features")
                kinds = sorted({row for row in file if row.startswith(wanted)})
        except OSError:
            kinds = [platform.processor()]
        return f"{self.version} {platform.machine()}{''.join(kinds)}"

    def open(self, path: str) -> OnnxSession:
        """Optimise and open it, weights in memory."""
        session = self._session(path, self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        if session.get_providers()[0] != self._full:
            raise DeviceError(
                f"{self._full} must run the network, but onnxruntime fell back to "
                f"{session.get_providers()[0]}; check its driver or use --provider"
            )
        return OnnxSession(session)

    def prepare(self, source: str, folder: str, name: str) -> None:
        """Write `name`.onnx and `name`.bin, weights in this machine's order."""
        entry = "session.optimized_model_external_initializers_"
        self._session(
            source,
            self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
            {f"{entry}file_name": f"{name}.bin", f"{entry}min_size_in_bytes": "1024"},
            os.path.join(folder, f"{name}.onnx"),
        )

    def open_prepared(self, folder: str, name: str) -> OnnxSession:
        """Its weights stay in the mapped file."""
        # already optimised: to do so again would copy the weights
        return OnnxSession(
            self._session(
                os.path.join(folder, f"{name}.onnx"),
                self._ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
                {"session.disable_prepacking": "1"},
            )
        )

    def _session(
        self, path: str, optimisation: Any, entries: Mapping[str, str] = {}, out: str = ""
    ) -> Any:
        options = self._ort.SessionOptions()
        options.graph_optimization_level = optimisation
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if out:
            options.optimized_model_filepath = out
        # the threads of a session that rests must not spin beside those of the one that runs
        for name, value in {"session.force_spinning_stop": "1", **entries}.items():
            options.add_session_config_entry(name, value)
        wanted = list(dict.fromkeys([self._full, PROVIDERS["cpu"]]))
        with self.problems(path):
            return self._ort.InferenceSession(path, options, providers=wanted)

    @contextlib.contextmanager
    def problems(self, path: str) -> Iterator[None]:
        """onnxruntime's own exceptions share no base class but this: told as `DeviceError`."""
        try:
            yield
        except Exception as error:
            raise DeviceError(
                f"{os.path.basename(path)} must be a network that onnxruntime runs on "
                f"{self._full}, but {first_line(error)[:300]}"
            ) from error
