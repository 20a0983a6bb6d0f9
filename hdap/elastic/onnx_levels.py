"""Levels as ONNX networks over one file of weights, for `hdap.device.sessions` to run."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from hdap.device.archive import program
from hdap.fleet_data.atomic_files import whole_folder, writable
from hdap.fleet_data.errors import InputError
from hdap.networks.onnx_files import keep_outside

Array = NDArray[Any]

ROUNDING = 2e-6
"""Relative to the largest number of a row: folding a norm rounds each number twice."""

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
    own norms into them (`part_of`), when ONNX Runtime optimises it on the device.

    Raises InputError where `folder` exists and is not empty, or cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"the folder of the levels must be new or empty, but {folder} is neither")
    with _filled(folder) if folder.exists() else whole_folder(folder) as temporary:
        written = _write_shared(temporary, networks)
        (temporary / "controller.pyz").write_bytes(program("controller"))
        if levels_file is not None:
            shutil.copyfile(levels_file, temporary / "levels.json")
    return written


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """A place within an empty folder, which stays itself: somebody may be in it, or have mounted
    it. What is written there moves up at the end, the levels last."""
    with writable(folder), TemporaryDirectory(dir=folder, prefix=".writing-") as temporary:
        yield Path(temporary)
        for file in sorted(Path(temporary).iterdir(), key=lambda path: path.suffix == ".onnx"):
            file.replace(folder / file.name)


def _write_shared(folder: Path, networks: Sequence[onnx.ModelProto]) -> Written:
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
    return Written(len(networks), written, sizes[-1] if sizes else 0, sum(sizes))


@dataclass(eq=False)
class _Shared:
    """The file of weights, and what of the widest level lies where in it."""

    file: BinaryIO
    known: dict[str, tuple[Array, int]] = field(default_factory=dict)

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

    def _append(self, values: Array) -> int:
        self.file.write(bytes(-self.file.tell() % _ALIGNED))
        offset = self.file.tell()
        self.file.write(values.tobytes())
        return offset


@dataclass(frozen=True, eq=False)
class WeightPart:
    """A tensor is the leading part of another, row by row times `scale` (None: as it is)."""

    shape: tuple[int, ...]
    scale: Array | None


def part_of(tensor: Array, whole: Array) -> WeightPart | None:
    """How `tensor` follows from `whole`; None where it does not, within rounding.

    Exporters fold each level's own norm into its convolution, so the rows of a level are those of
    the shared weights times one number each.
    """
    if tensor.ndim != whole.ndim or tensor.dtype != whole.dtype:
        return None
    if any(mine > other for mine, other in zip(tensor.shape, whole.shape, strict=True)):
        return None
    leading = whole[tuple(slice(size) for size in tensor.shape)]
    if np.array_equal(tensor, leading):
        return WeightPart(tensor.shape, None)
    if tensor.dtype != np.float32 or tensor.ndim < 2:
        return None
    scale = _row_scales(tensor, leading)
    error = np.abs(tensor - leading * scale).reshape(len(tensor), -1).max(axis=1)
    largest = np.abs(tensor).reshape(len(tensor), -1).max(axis=1)
    return WeightPart(tensor.shape, scale) if (error <= ROUNDING * largest).all() else None


def _row_scales(tensor: Array, leading: Array) -> Array:
    """Least squares, a number a row; 0 where there is nothing to scale."""
    axes = tuple(range(1, tensor.ndim))
    energy = np.square(leading, dtype=np.float64).sum(axis=axes, keepdims=True)
    shared = (tensor.astype(np.float64) * leading).sum(axis=axes, keepdims=True)
    scale = np.divide(shared, energy, out=np.zeros_like(shared), where=energy > 0)
    return np.asarray(scale, dtype=np.float32)


def cut_from(graph: onnx.GraphProto, tensor: onnx.TensorProto, part: WeightPart, dims: Any) -> Any:
    """Compute `tensor` of `graph` from a whole of shape `dims`, which is returned to be filled.

    A runtime does so once, when it optimises the network: everything it needs is constant.
    """
    name, kind = tensor.name, tensor.data_type
    graph.initializer.remove(tensor)
    whole = graph.initializer.add(name=f"{name}.whole", data_type=kind, dims=dims)
    limits = {
        f"{name}.starts": np.zeros(len(part.shape), dtype=np.int64),
        f"{name}.ends": np.array(part.shape, dtype=np.int64),
    }
    sliced = name if part.scale is None else f"{name}.part"
    nodes = [helper.make_node("Slice", [whole.name, *limits], [sliced])]
    if part.scale is not None:
        limits[f"{name}.scale"] = part.scale
        nodes.append(helper.make_node("Mul", [sliced, f"{name}.scale"], [name]))
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in limits.items())
    others = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(others)
    return whole
