"""Levels as ONNX networks over one file of weights, for `hdap.elastic.sessions` to run."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper

from hdap.elastic import sessions
from hdap.elastic.device_file import controller_source
from hdap.fleet_data.errors import InputError
from hdap.measuring.onnx_files import keep_outside

WEIGHTS = "weights.bin"
_ALIGNED = 64
"""Bytes: what vector instructions like to start at."""
_SMALLEST = 1024
"""Bytes from which a tensor goes to the shared file; smaller ones stay in the network."""


@dataclass(frozen=True)
class Written:
    """Bytes of the shared file and of all tensors in it, had none been shared."""

    levels: int
    weight_bytes: int
    unshared_bytes: int


def write_levels(
    folder: Path, networks: Sequence[onnx.ModelProto], levels_file: Path | None = None
) -> Written:
    """Write `level-i.onnx`, changed in place, their `weights.bin`, and the files that run them.

    A tensor that begins another one byte for byte (depthwise filters, a first convolution, what no
    level cuts) is stored once: networks point into the same bytes. Others cannot be shared, because
    a tensor of an ONNX network is contiguous and a slice of input channels is not.

    Raises InputError where `folder` exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"the folder of the levels must be new or empty, but {folder} is neither")
    folder.mkdir(parents=True, exist_ok=True)
    stored: list[tuple[bytes, int]] = []
    unshared = 0
    with (folder / WEIGHTS).open("wb") as file:
        # the widest first: the others' tensors begin its own
        for network in reversed(networks):
            for tensor in network.graph.initializer:
                data = numpy_helper.to_array(tensor).tobytes()
                if len(data) < _SMALLEST:
                    continue
                unshared += len(data)
                offset = next((at for known, at in stored if known.startswith(data)), None)
                if offset is None:
                    file.write(bytes(-file.tell() % _ALIGNED))
                    offset = file.tell()
                    file.write(data)
                    stored.append((data, offset))
                keep_outside(tensor, WEIGHTS, offset, len(data))
        size = file.tell()
    for level, network in enumerate(networks):
        path = folder / f"level-{level}.onnx"
        path.write_bytes(network.SerializeToString(deterministic=True))
    shutil.copyfile(sessions.__file__, folder / "sessions.py")
    (folder / "controller.py").write_text(controller_source(), encoding="utf-8")
    if levels_file is not None:
        shutil.copyfile(levels_file, folder / "levels.json")
    return Written(len(networks), size, unshared)
