#!/usr/bin/env python3
"""All levels of an elastic network in ONNX Runtime, with weights that stay in mapped files.

Runs on the device: Python 3.9 or later with onnxruntime and numpy; this one file travels.

    levels = LevelSessions("folder")            # level-0.onnx, level-1.onnx, ..., weights.bin
    output = levels.run(2, image)[0]

Fast kernels want weights in an order of their own, and ONNX Runtime copies all of them into each
session to get it. So each level is optimised once on this device and written out in that order:
sessions opened on the result map the file read-only and copy nothing. Levels that rest cost address
space and page cache that the system may take back, no memory of their own.
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import os
import platform
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LevelSessions:
    """One session a level, opened when it is first run; `threads` for each inference.

    Raises `FileNotFoundError` where the folder holds no level.
    """

    def __init__(self, folder: str, threads: int = 1, cache: str | None = None) -> None:
        self._ort = importlib.import_module("onnxruntime")
        self.threads = threads
        names = [
            os.path.basename(x)
            for x in glob.glob(os.path.join(glob.escape(folder), "level-*.onnx"))
        ]
        self.levels = len(names)
        if not names or set(names) != {f"level-{i}.onnx" for i in range(len(names))}:
            raise FileNotFoundError(f"{folder} must hold level-0.onnx, level-1.onnx, ...")
        self.folder = self._optimised(folder, cache or os.path.join(folder, "optimised"))
        self._open: dict[int, Any] = {}

    def session(self, level: int) -> Any:
        """The session of a level."""
        if level not in self._open:
            # already optimised: to do so again would copy the weights
            options = self._options(self._ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
            options.add_session_config_entry("session.disable_prepacking", "1")
            path = os.path.join(self.folder, f"level-{level}.onnx")
            self._open[level] = self._ort.InferenceSession(path, options, providers=PROVIDERS)
        return self._open[level]

    def run(self, level: int, image: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        """Outputs of a level for one input."""
        session = self.session(level)
        outputs: Sequence[NDArray[np.float32]] = session.run(
            None, {session.get_inputs()[0].name: image}
        )
        return outputs

    def _options(self, optimisation: Any) -> Any:
        options = self._ort.SessionOptions()
        options.graph_optimization_level = optimisation
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Resting levels' threads must not spin beside the one that runs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def _optimised(self, folder: str, cache: str) -> str:
        """The folder with the levels in this machine's order, made where it is missing."""
        made = os.path.join(cache, self._machine(folder))
        if os.path.isdir(made):
            return made
        temporary = f"{made}.making-{os.getpid()}"
        os.makedirs(temporary)
        try:
            for level in range(self.levels):
                name = f"level-{level}"
                options = self._options(self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
                options.optimized_model_filepath = os.path.join(temporary, f"{name}.onnx")
                entry = "session.optimized_model_external_initializers_"
                options.add_session_config_entry(f"{entry}file_name", f"{name}.bin")
                options.add_session_config_entry(f"{entry}min_size_in_bytes", "1024")
                source = os.path.join(folder, f"{name}.onnx")
                self._ort.InferenceSession(source, options, providers=PROVIDERS)
            if not os.path.isdir(made):
                os.rename(temporary, made)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return made

    def _machine(self, folder: str) -> str:
        """What the order depends on: networks, runtime and processor."""
        told = hashlib.sha256(f"{self._ort.__version__} {platform.machine()}".encode())
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                kinds = sorted(
                    {x for x in file if x.startswith(("model name", "flags", "Features"))}
                )
            told.update("".join(kinds).encode())
        except OSError:
            told.update(platform.processor().encode())
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.*"))):
            if path.endswith((".onnx", ".bin")):
                status = os.stat(path)
                told.update(
                    f"{os.path.basename(path)} {status.st_size} {status.st_mtime_ns}".encode()
                )
        return told.hexdigest()[:16]


PROVIDERS = ["CPUExecutionProvider"]
