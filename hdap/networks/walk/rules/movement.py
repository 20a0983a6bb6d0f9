"""Operations that move elements and compute nothing: shapes, parts, concatenations."""

import numpy as np
from torch import Tensor

from hdap.networks.walk.labels import (
    CONSTANT,
    Atoms,
    Factor,
    Labels,
    compressed,
    mapped,
    overlapping,
    reshaped,
)
from hdap.networks.walk.recorder import Operation, Rule, Walk


def reshape(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    if not given.numel():
        return walk.keep(operation, "is empty")
    labels, torn = reshaped(walk.labels(given), given.shape, made.shape)
    for factor in torn:
        walk.ties.pin(factor.atoms, f"is merged with other channels in {walk.place}")
    walk.label(made, labels)
    walk.told_sizes(given, made)


def permute(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    count = max(given.dim(), 1)
    if operation.name == "permute":
        order = [d % count for d in operation["dims"]]
    else:
        order = list(range(given.dim()))
        first, second = (operation["dim0"], operation["dim1"])
        if operation.name == "t":
            first, second = (0, 1) if given.dim() == 2 else (0, 0)
        if order:
            first, second = first % count, second % count
            order[first], order[second] = order[second], order[first]
    walk.label(made, mapped(walk.labels(given), {d: place for place, d in enumerate(order)}))


def expand(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    by = made.dim() - given.dim()
    walk.label(made, tuple(f.shifted(by) for f in walk.labels(given)))
    walk.told_sizes(given, made)


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
        sides = [_side(walk, x, dims) for x in parts]
        if dim in dims:
            found += compressed(dims, np.concatenate(sides, axis=dims.index(dim)))
            continue
        for other in sides[1:]:
            walk.ties.tie(sides[0], other, f"meets a constant in {walk.place}")
        found += compressed(dims, sides[0])
    walk.label(made, tuple(found))


def _varies(walk: Walk, tensor: Tensor, dim: int) -> bool:
    return any(dim in f.dims for f in walk.labels(tensor))


def _side(walk: Walk, tensor: Tensor, dims: tuple[int, ...]) -> Atoms:
    sizes = [tensor.shape[d] for d in dims]
    inside = [f for f in walk.labels(tensor) if set(f.dims) & set(dims)]
    if len(inside) == 1:
        return inside[0].over(dims, sizes)
    for factor in inside:
        walk.ties.pin(factor.atoms, f"meets others in two dimensions in {walk.place}")
    return np.full(sizes, CONSTANT, dtype=np.int64)


def stack(walk: Walk, operation: Operation) -> None:
    made = operation.outputs[0]
    dim = (operation["dim"] or 0) % made.dim()
    places = {d: d + (d >= dim) for d in range(made.dim())}
    labels = [mapped(walk.labels(x), places) for x in operation.inputs]
    found: list[Factor] = []
    for dims in overlapping([f for part in labels for f in part]):
        sizes = [made.shape[d] for d in dims]
        sides = []
        for part in labels:
            inside = [f for f in part if set(f.dims) & set(dims)]
            whole = inside[0].over(dims, sizes) if len(inside) == 1 else np.full(sizes, CONSTANT)
            sides.append(whole)
        for other in sides[1:]:
            walk.ties.tie(sides[0], other, f"is stacked on a constant in {walk.place}")
        found += compressed(dims, sides[0])
    walk.label(made, tuple(found))


def flip(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    turned = {d % given.dim() for d in operation["dims"]}
    walk.label(
        made,
        tuple(
            Factor(f.dims, np.flip(f.atoms, tuple(f.dims.index(d) for d in f.dims if d in turned)))
            for f in walk.labels(given)
        ),
    )


def roll(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    moved = {d % given.dim() for d in operation["dims"] or range(given.dim())}
    rest = [d for d in range(given.dim()) if d not in moved]
    walk.label(made, walk.only(given, rest, "is rolled over channels"))


def repeat(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    by = made.dim() - given.dim()
    found: list[Factor] = []
    for factor in walk.labels(given):
        dims = tuple(d + by for d in factor.dims)
        times = [made.shape[d + by] // given.shape[d] for d in factor.dims]
        found += compressed(dims, np.tile(factor.atoms, times))
    walk.label(made, tuple(found))


def pad(walk: Walk, operation: Operation) -> None:
    """Zeros around: new channels are constants."""
    given, made = operation.inputs[0], operation.outputs[0]
    pads = list(operation["pad"])
    sides = {given.dim() - 1 - i // 2: (pads[i], pads[i + 1]) for i in range(0, len(pads), 2)}
    found: list[Factor] = []
    for factor in walk.labels(given):
        atoms = factor.atoms
        for axis, dim in enumerate(factor.dims):
            before, after = sides.get(dim, (0, 0))
            if before < 0 or after < 0:
                walk.ties.pin(factor.atoms, f"is cropped in {walk.place}")
            width = [
                (max(before, 0), max(after, 0)) if a == axis else (0, 0) for a in range(atoms.ndim)
            ]
            atoms = np.pad(atoms, width, constant_values=CONSTANT)
        if tuple(atoms.shape) == tuple(made.shape[d] for d in factor.dims):
            found += compressed(factor.dims, atoms)
    walk.label(made, tuple(found))


def index(walk: Walk, operation: Operation) -> None:
    """Looked up along some dimensions, which keep all they have; others go on."""
    given, made = operation.inputs[0], operation.outputs[0]
    asked = operation["indices"]
    if operation.name == "index_select":
        dims = [operation["dim"] % given.dim()]
    else:
        dims = [d for d, at in enumerate(asked) if at is not None]
    if dims != list(range(dims[0], dims[0] + len(dims))):
        return walk.keep(operation, "is looked up in several dimensions")
    rest = [d for d in range(given.dim()) if d not in dims]
    labels = walk.only(given, rest, "is looked up by number")
    shift = made.dim() - given.dim()
    walk.label(made, mapped(labels, {d: d if d < dims[0] else d + shift for d in rest}))


def embedding(walk: Walk, operation: Operation) -> None:
    table, made = operation["weight"], operation.outputs[0]
    labels = walk.only(table, [1], "is looked up by number")
    walk.label(made, mapped(labels, {1: made.dim() - 1}))


def pixel_shuffle(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    dim, square = given.dim() - 3, operation["upscale_factor"] ** 2
    walk.only(given, range(dim + 1), "becomes pixels")
    atoms = walk.along(given, dim).reshape(-1, square)
    walk.label(made, compressed((dim,), walk.ties.tie_along(atoms, 1)))


def pixel_unshuffle(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    dim, square = given.dim() - 3, operation["downscale_factor"] ** 2
    walk.only(given, range(dim + 1), "is made of pixels")
    walk.label(made, compressed((dim,), np.repeat(walk.along(given, dim), square)))


def channel_shuffle(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    table = walk.along(given, 1).reshape(operation["groups"], -1)
    walk.ties.rectangle(table)
    walk.label(made, compressed((1,), table.T.ravel()))


def columns(walk: Walk, operation: Operation) -> None:
    """Patches of an image as columns: every channel becomes as many as the patch has pixels."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = given.dim() - 3
    walk.only(given, range(dim + 1), "is cut into patches")
    times = made.shape[dim] // given.shape[dim]
    walk.label(made, compressed((dim,), np.repeat(walk.along(given, dim), times)))


def patches(walk: Walk, operation: Operation) -> None:
    """Columns as an image again."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = given.dim() - 2
    walk.only(given, range(dim + 1), "is put together from patches")
    atoms = walk.along(given, dim).reshape(made.shape[dim], -1)
    walk.label(made, compressed((dim,), walk.ties.tie_along(atoms, 1)))


def windows(walk: Walk, operation: Operation) -> None:
    """Windows along one dimension, laid along a new last one."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = operation["dimension"] % given.dim()
    rest = [d for d in range(given.dim()) if d != dim]
    walk.label(made, walk.only(given, rest, "is cut into windows over channels"))


def strided(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    if given.shape == made.shape:
        walk.label(made, walk.labels(given))
    else:
        walk.keep(operation, "is laid out by hand")


RULES: dict[str, Rule] = {
    **dict.fromkeys(["view", "_unsafe_view", "reshape", "_reshape_alias"], reshape),
    **dict.fromkeys(["squeeze", "unsqueeze", "flatten", "unflatten"], reshape),
    **dict.fromkeys(["permute", "transpose", "t"], permute),
    **dict.fromkeys(["select", "unbind"], select),
    **dict.fromkeys(["split", "split_with_sizes", "chunk"], split),
    **dict.fromkeys(["channel_shuffle", "native_channel_shuffle"], channel_shuffle),
    **dict.fromkeys(["index", "index_select"], index),
    "expand": expand,
    "slice": cut,
    "cat": concatenate,
    "stack": stack,
    "flip": flip,
    "roll": roll,
    "repeat": repeat,
    "constant_pad_nd": pad,
    "embedding": embedding,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "im2col": columns,
    "col2im": patches,
    "unfold": windows,
    "as_strided": strided,
}
