"""Levels as ONNX networks over one file of weights, for `hdap.device.level_sessions` to run."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from hdap.device import level_sessions as sessions
from hdap.device.controller_file import controller_source
from hdap.elastic.onnx_parts import cut_from, part_of
from hdap.fleet_data.errors import InputError
from hdap.networks.onnx_files import keep_outside

WEIGHTS = "weights.bin"
_ALIGNED = 64
"""Bytes: what vector instructions like to start at."""
_SMALLEST = 1024
"""Bytes from which a tensor goes to the shared file; smaller ones stay in the network."""


@dataclass(frozen=True)
class Written:
    """Bytes of all networks with their weights, of the widest alone, and of all had none shared."""

    levels: int
    bytes: int
    widest_bytes: int
    unshared_bytes: int


def write_levels(
    folder: Path, networks: Sequence[onnx.ModelProto], levels_file: Path | None = None
) -> Written:
    """Write `level-i.onnx`, changed in place, their `weights.bin`, and the files that run them.

    `networks` come narrowest first. What a level has of the widest one's weights is not written
    again: the network cuts it from them, and scales its rows where the exporter folded the level's
    own norms into them (`part_of`), when `sessions.py` optimises it on the device.

    Raises InputError where `folder` exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"the folder of the levels must be new or empty, but {folder} is neither")
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [network.ByteSize() for network in networks]
    with (folder / WEIGHTS).open("wb") as file:
        shared = _Shared(file)
        # the widest first: the others' tensors are parts of its own
        for network in reversed(networks):
            for tensor in list(network.graph.initializer):
                shared.take(network.graph, tensor)
        written = file.tell()
    for level, network in enumerate(networks):
        path = folder / f"level-{level}.onnx"
        path.write_bytes(network.SerializeToString(deterministic=True))
        written += path.stat().st_size
    shutil.copyfile(sessions.__file__, folder / "sessions.py")
    (folder / "controller.py").write_text(controller_source(), encoding="utf-8")
    if levels_file is not None:
        shutil.copyfile(levels_file, folder / "levels.json")
    return Written(len(networks), written, sizes[-1] if sizes else 0, sum(sizes))


@dataclass(eq=False)
class _Shared:
    """The file of weights, and what of the widest level lies where in it."""

    file: BinaryIO
    known: dict[str, tuple[NDArray[Any], int]] = field(default_factory=dict)

    def take(self, graph: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
        """Let a tensor of `graph` be read from the file, as a part of one there if it is."""
        values = numpy_helper.to_array(tensor)
        if values.nbytes < _SMALLEST:
            return
        whole, offset = self.known.get(tensor.name, (None, 0))
        part = None if whole is None else part_of(values, whole)
        if whole is None or part is None:
            offset = self._append(values)
            self.known.setdefault(tensor.name, (values, offset))
        elif part.scale is not None or part.shape[1:] != whole.shape[1:]:
            tensor, values = cut_from(graph, tensor, part, whole.shape), whole
        keep_outside(tensor, WEIGHTS, offset, values.nbytes)

    def _append(self, values: NDArray[Any]) -> int:
        self.file.write(bytes(-self.file.tell() % _ALIGNED))
        offset = self.file.tell()
        self.file.write(values.tobytes())
        return offset
