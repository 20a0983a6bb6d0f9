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
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


PROVIDERS = ["CPUExecutionProvider"]


def session_options(ort: Any, threads: int, optimisation: Any) -> Any:
    """Options of a session that may rest beside others."""
    options = ort.SessionOptions()
    options.graph_optimization_level = optimisation
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Resting sessions' threads must not spin beside those of the one that runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def open_mapped(ort: Any, path: str, threads: int) -> Any:
    """A session on a network that `optimise` wrote; its weights stay in the mapped file."""
    # already optimised: to do so again would copy the weights
    options = session_options(ort, threads, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    options.add_session_config_entry("session.disable_prepacking", "1")
    return ort.InferenceSession(path, options, providers=PROVIDERS)


def optimise(ort: Any, source: str, folder: str, name: str, threads: int) -> None:
    """Write the network of `source` as `name`.onnx and .bin, weights in this machine's order."""
    options = session_options(ort, threads, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    options.optimized_model_filepath = os.path.join(folder, f"{name}.onnx")
    entry = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{entry}file_name", f"{name}.bin")
    options.add_session_config_entry(f"{entry}min_size_in_bytes", "1024")
    ort.InferenceSession(source, options, providers=PROVIDERS)


def made_once(folder: str, make: Callable[[str], None]) -> str:
    """The folder, filled by `make` where it is missing: whole or not at all."""
    if os.path.isdir(folder):
        return folder
    temporary = f"{folder}.making-{os.getpid()}-{threading.get_ident()}"
    os.makedirs(temporary)
    try:
        make(temporary)
        # whoever else made it meanwhile made the same
        if not os.path.isdir(folder):
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def machine_words(ort: Any) -> str:
    """What the order of weights depends on beside the network: runtime and processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            kinds = sorted({x for x in file if x.startswith(("model name", "flags", "Features"))})
    except OSError:
        kinds = [platform.processor()]
    return f"{ort.__version__} {platform.machine()}{''.join(kinds)}"


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
            path = os.path.join(self.folder, f"level-{level}.onnx")
            self._open[level] = open_mapped(self._ort, path, self.threads)
        return self._open[level]

    def run(self, level: int, image: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        """Outputs of a level for one input."""
        session = self.session(level)
        outputs: Sequence[NDArray[np.float32]] = session.run(
            None, {session.get_inputs()[0].name: image}
        )
        return outputs

    def _optimised(self, folder: str, cache: str) -> str:
        """The folder with the levels in this machine's order, made where it is missing."""

        def make(temporary: str) -> None:
            for level in range(self.levels):
                source = os.path.join(folder, f"level-{level}.onnx")
                optimise(self._ort, source, temporary, f"level-{level}", self.threads)

        return made_once(os.path.join(cache, self._machine(folder)), make)

    def _machine(self, folder: str) -> str:
        """What the order depends on: networks, runtime and processor."""
        told = hashlib.sha256(machine_words(self._ort).encode())
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.*"))):
            if path.endswith((".onnx", ".bin")):
                status = os.stat(path)
                told.update(
                    f"{os.path.basename(path)} {status.st_size} {status.st_mtime_ns}".encode()
                )
        return told.hexdigest()[:16]
