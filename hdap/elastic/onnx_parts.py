"""Weights of a narrow level as the leading part of the widest level's, folded norms and all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]

ROUNDING = 2e-6
"""Relative to the largest number of a row: folding a norm rounds each number twice."""


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
