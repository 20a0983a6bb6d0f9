"""Parts of tensors, and tensors put together: selections, slices, concatenations, stacks."""

import numpy as np
from torch import Tensor

from hdap.networks.walk.labels import (
    Factor,
    Labels,
    compressed,
    mapped,
    overlapping,
)
from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation


def select(walk: Walk, operation: Operation) -> None:
    """One index along a dimension, or every index by itself (`unbind`)."""
    given = operation.inputs[0]
    dim = (operation["dim"] or 0) % given.dim()
    walk.only(given, _beside(walk, given, dim), "is taken apart channel by channel")
    places = {d: d - (d > dim) for d in range(given.dim())}
    first = operation["index"] or 0
    for offset, made in enumerate(operation.outputs):
        found: list[Factor] = []
        for factor in walk.labels(given):
            if factor.dims == (dim,):
                continue
            if dim in factor.dims:
                axis = factor.dims.index(dim)
                rest = tuple(places[d] for d in factor.dims if d != dim)
                found += compressed(rest, np.take(factor.atoms, first + offset, axis=axis))
            else:
                found += mapped((factor,), places)
        walk.label(made, tuple(found))


def _beside(walk: Walk, tensor: Tensor, dim: int) -> list[int]:
    """All dimensions but `dim`, unless a factor arranges that with others."""
    joint = any(dim in f.dims and len(f.dims) > 1 for f in walk.labels(tensor))
    return [d for d in range(tensor.dim()) if joint or d != dim]


def split(walk: Walk, operation: Operation) -> None:
    """Consecutive parts; equal ones lose the same places, as `chunk` shares out what is left."""
    given, made = operation.inputs[0], operation.outputs
    dim = (operation["dim"] or 0) % given.dim()
    sizes = [x.shape[dim] for x in made]
    starts = np.cumsum([0, *sizes])
    _share_out(walk, given, dim, sizes)
    for start, size, part in zip(starts, sizes, made, strict=False):
        walk.label(part, _sliced(walk.labels(given), dim, slice(int(start), int(start) + size)))
    walk.told_sizes(given, cut=(made, dim))


def cut(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    dim = (operation["dim"] or 0) % given.dim()
    size, step = given.shape[dim], operation["step"] or 1
    if step != 1:
        others = [d for d in range(given.dim()) if d != dim]
        walk.label(made, walk.only(given, others, "is taken in steps over channels"))
        return
    start = operation["start"] or 0
    start = max(start + size, 0) if start < 0 else min(start, size)
    part = made.shape[dim]
    if 0 < part < size and start % part == 0 and size % part == 0:
        _share_out(walk, given, dim, [part] * (size // part))
    walk.label(made, _sliced(walk.labels(given), dim, slice(start, start + part)))
    if part != size:
        walk.told_sizes(given, made)


def _share_out(walk: Walk, given: Tensor, dim: int, sizes: list[int]) -> None:
    if len(sizes) < 2 or len(set(sizes)) > 1:
        return
    for factor in walk.labels(given):
        if factor.dims == (dim,):
            walk.ties.tie_along(factor.atoms.reshape(len(sizes), -1), 0)


def _sliced(labels: Labels, dim: int, part: slice) -> Labels:
    found: list[Factor] = []
    for factor in labels:
        if dim not in factor.dims:
            found.append(factor)
            continue
        axis = factor.dims.index(dim)
        index = tuple(part if a == axis else slice(None) for a in range(factor.atoms.ndim))
        found += compressed(factor.dims, factor.atoms[index])
    return tuple(found)


def concatenate(walk: Walk, operation: Operation) -> None:
    made = operation.outputs[0]
    # an empty one-dimensional tensor may stand in any concatenation
    parts = [x for x in operation.inputs if x.numel()]
    if not parts:
        return
    dim = (operation["dim"] or 0) % made.dim()
    along = (
        [Factor((dim,), np.empty(0, np.int64))] if any(_varies(walk, x, dim) for x in parts) else []
    )
    found: list[Factor] = []
    for dims in overlapping([f for x in parts for f in walk.labels(x)] + along):
        sides = [walk.over(walk.labels(x), dims, [x.shape[d] for d in dims]) for x in parts]
        if dim in dims:
            found += compressed(dims, np.concatenate(sides, axis=dims.index(dim)))
        else:
            found += walk.joined(dims, sides)
    walk.label(made, tuple(found))


def _varies(walk: Walk, tensor: Tensor, dim: int) -> bool:
    return any(dim in f.dims for f in walk.labels(tensor))


def stack(walk: Walk, operation: Operation) -> None:
    made = operation.outputs[0]
    dim = (operation["dim"] or 0) % made.dim()
    places = {d: d + (d >= dim) for d in range(made.dim())}
    labels = [mapped(walk.labels(x), places) for x in operation.inputs]
    found: list[Factor] = []
    for dims in overlapping(f for part in labels for f in part):
        sizes = [made.shape[d] for d in dims]
        found += walk.joined(dims, [walk.over(part, dims, sizes) for part in labels])
    walk.label(made, tuple(found))


RULES: dict[str, Rule] = {
    **dict.fromkeys(["select", "unbind"], select),
    **dict.fromkeys(["split", "split_with_sizes", "chunk"], split),
    "slice": cut,
    "cat": concatenate,
    "stack": stack,
}
