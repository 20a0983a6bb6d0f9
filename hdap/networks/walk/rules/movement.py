"""Operations that move elements and compute nothing: shapes, orders, copies, look-ups."""

import numpy as np

from hdap.networks.walk.labels import (
    CONSTANT,
    Factor,
    compressed,
    mapped,
    reshaped,
)
from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation


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
    **dict.fromkeys(["index", "index_select"], index),
    "expand": expand,
    "flip": flip,
    "roll": roll,
    "repeat": repeat,
    "constant_pad_nd": pad,
    "embedding": embedding,
    "as_strided": strided,
}
