"""Convolutions and products of matrices: inputs are summed away, outputs are made."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hdap.networks.walk.labels import CONSTANT, Atoms, Factor, compressed
from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation, Product


def convolution(walk: Walk, operation: Operation) -> None:
    image, weight, made = operation["input"], operation["weight"], operation.outputs[0]
    groups, transposed = operation["groups"] or 1, bool(operation["transposed"])
    walk.only(image, [0, 1], "is convolved over channels")
    inputs = walk.along(image, 1)
    first, second = walk.along(weight, 0), walk.along(weight, 1)
    if not walk.is_static(weight):
        for side in (inputs, first, second):
            walk.ties.pin(side, f"meets weights made on the way in {walk.place}")
        outputs = np.full(made.shape[1], CONSTANT)
    elif transposed:
        outputs = _transposed(walk, inputs, first, second, groups)
    else:
        outputs = _forward(walk, inputs, first, second, groups)
    if isinstance(operation["bias"], Tensor):
        walk.ties.tie(outputs, walk.along(operation["bias"], 0), _why(walk))
    walk.label(made, compressed((1,), outputs))
    if not walk.in_layer:
        places = math.prod((image if transposed else made).shape[2:])
        kernel, name = math.prod(weight.shape[2:]), walk.name_of(weight)
        size = places * made.shape[0]
        walk.products.append(Product(walk.module, inputs, outputs, size, kernel, name, groups))


def _why(walk: Walk) -> str:
    return f"meets a constant in {walk.place}"


def _forward(walk: Walk, inputs: Atoms, rows: Atoms, columns: Atoms, groups: int) -> Atoms:
    """The output channels; rows are the weight's outputs, columns the inputs of one block."""
    table = inputs.reshape(groups, -1)
    if groups > 1 and table.shape[1] == 1:  # each input by itself
        walk.ties.tie(inputs[:, None], rows.reshape(groups, -1), _why(walk))
        return rows
    walk.ties.consume(columns)
    walk.ties.tie(table, columns, _why(walk))
    walk.ties.tie_along(rows.reshape(groups, -1), 0)
    return rows


def _transposed(walk: Walk, inputs: Atoms, rows: Atoms, columns: Atoms, groups: int) -> Atoms:
    """The same where the weight's first dimension holds the inputs."""
    if groups > 1 and len(inputs) == groups:
        walk.ties.tie(inputs, rows, _why(walk))
        return np.repeat(rows, len(columns))
    walk.ties.consume(rows)
    walk.ties.tie(inputs, rows, _why(walk))
    walk.ties.tie_along(rows.reshape(groups, -1), 0)
    return np.tile(columns, groups)


def deformed(walk: Walk, operation: Operation) -> None:
    """A convolution whose kernel looks where an image of offsets says."""
    for name in ("offset", "mask"):
        walk.pin(operation[name], f"says where to look in {walk.place}")
    weight, made = operation["weight"], operation.outputs[0]
    inputs = walk.along(operation["input"], 1)
    rows, columns = walk.along(weight, 0), walk.along(weight, 1)
    # each block of inputs has offsets of its own: all blocks lose the same places
    blocks = operation["offset"].shape[1] // (2 * math.prod(weight.shape[2:]))
    walk.ties.tie_along(inputs.reshape(blocks, -1), 0)
    outputs = _forward(walk, inputs, rows, columns, len(inputs) // weight.shape[1])
    walk.ties.tie(outputs, walk.along(operation["bias"], 0), _why(walk))
    walk.label(made, compressed((1,), outputs))


def matrices(walk: Walk, operation: Operation) -> None:
    """`mm` and `addmm`: m x k times k x n."""
    left = operation["mat1"] if operation["mat1"] is not None else operation["self"]
    right, made = operation["mat2"], operation.outputs[0]
    for side, row in ((left, 0), (right, 1)):
        if not walk.is_static(side):
            walk.ties.pin(walk.along(side, row), f"is a row of a matrix in {walk.place}")
    sides = _Sides(walk, left, right)
    inner = sides.contracted(1, 0)
    rows, columns = walk.along(left, 0), walk.along(right, 1)
    walk.label(made, (*compressed((0,), rows), *compressed((1,), columns)))
    if operation.name == "addmm":
        walk.combine([made, operation["self"]], made)
    if not walk.in_layer:
        turned = walk.is_static(left) and not walk.is_static(right)
        outputs, positions = (rows, len(columns)) if turned else (columns, len(rows))
        weight = walk.name_of(left if turned else right)
        walk.products.append(Product(walk.module, inner, outputs, positions, 1, weight))


def batches(walk: Walk, operation: Operation) -> None:
    """`bmm` and `baddbmm`: b matrices m x k times k x n."""
    left = operation["batch1"] if operation["batch1"] is not None else operation["self"]
    right = operation["mat2"] if operation["mat2"] is not None else operation["batch2"]
    made = operation.outputs[0]
    sides = _Sides(walk, left, right)
    batch, other = sides.batch(left), sides.batch(right)
    walk.ties.tie(batch, other, _why(walk))
    inner = sides.contracted(2, 1)
    rows, columns = walk.along(left, 1), walk.along(right, 2)
    choice = [("batch", batch), ("inner", inner), ("rows", rows), ("columns", columns)]
    moving = [name for name, atoms in choice if (atoms != CONSTANT).any()]
    for name, atoms in choice:
        if name in moving[2:]:
            walk.ties.pin(atoms, f"is one of three sides of a product that move in {walk.place}")
    walk.label(
        made,
        tuple(f for d, a in enumerate((batch, rows, columns)) for f in compressed((d,), a)),
    )
    if operation.name == "baddbmm":
        walk.combine([made, operation["self"]], made)
    side_of = dict(choice)
    fixed = [n for n in ("inner", "columns", "rows", "batch") if n not in moving]
    first, second = [*moving[:2], *fixed][:2]
    positions = math.prod(len(side_of[name]) for name in side_of if name not in (first, second))
    weight = walk.name_of(left) or walk.name_of(right)
    walk.products.append(
        Product(walk.module, side_of[first], side_of[second], positions, 1, weight)
    )


@dataclass(frozen=True, eq=False)
class _Sides:
    """Two factors of a product."""

    walk: Walk
    left: Tensor
    right: Tensor

    def batch(self, side: Tensor) -> Atoms:
        """Atoms along the batch; what lies along it and another dimension goes as a whole."""
        found: list[Factor] = []
        for factor in self.walk.labels(side):
            if 0 in factor.dims and len(factor.dims) > 1:
                rows = factor.atoms.reshape(factor.atoms.shape[0], -1)
                found += compressed((0,), self.walk.ties.tie_along(rows, 1))
            else:
                found.append(factor)
        self.walk.label(side, tuple(found))
        return self.walk.along(side, 0)

    def contracted(self, left: int, right: int) -> Atoms:
        """Atoms along the dimension that is summed away: they must be a weight's."""
        first, second = self.walk.along(self.left, left), self.walk.along(self.right, right)
        fixed = [self.walk.is_static(self.left), self.walk.is_static(self.right)]
        if not any(fixed):
            why = f"is summed away between two images in {self.walk.place}"
            for atoms in (first, second):
                self.walk.ties.pin(atoms, why)
            return np.full(len(first), CONSTANT)
        self.walk.ties.consume(second if fixed[1] else first)
        self.walk.ties.tie(first, second, _why(self.walk))
        return first


def linear(walk: Walk, operation: Operation) -> None:
    """`linear` as one operation, where torch does not take it apart."""
    image, weight, made = operation["input"], operation["weight"], operation.outputs[0]
    inputs, columns = walk.along(image, -1), walk.along(weight, 1)
    walk.ties.consume(columns)
    walk.ties.tie(inputs, columns, _why(walk))
    outputs = walk.along(weight, 0)
    if isinstance(operation["bias"], Tensor):
        walk.ties.tie(outputs, walk.along(operation["bias"], 0), _why(walk))
    for factor in walk.labels(image):
        if factor.dims != (image.dim() - 1,):
            walk.ties.pin(factor.atoms, f"is a row of a matrix in {walk.place}")
    walk.label(made, (Factor((made.dim() - 1,), outputs),))
    if not walk.in_layer:
        name = walk.name_of(weight)
        positions = image.numel() // image.shape[-1]
        walk.products.append(Product(walk.module, inputs, outputs, positions, 1, name))


RULES: dict[str, Rule] = {
    "convolution": convolution,
    "torchvision::deform_conv2d": deformed,
    **dict.fromkeys(["mm", "addmm"], matrices),
    **dict.fromkeys(["bmm", "baddbmm"], batches),
    "linear": linear,
}
