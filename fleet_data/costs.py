"""FLOPs, parameters and channels of whole matrices of configurations, exact and vectorised.

FLOPs are multiply-accumulates of convolutions, linear layers and products of two images (attention)
at batch 1, as the pruning literature counts them. Every channel count of a layer is affine in the
counts of the width groups, so both costs are quadratic polynomials in a configuration:
`QuadraticCost` holds one in closed form, and `along` gives it as a parabola in one group, which is
what exact repair needs.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Architecture, Channels, Counts, Layer
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import amount

Floats = NDArray[np.float64]

# Integers up to here are exact in float64, whose products run on BLAS.
_EXACT = 2**53


class Parabola(NamedTuple):
    """`a x^2 + b x + c` for each of n rows; each field holds n floats."""

    a: Floats
    b: Floats
    c: Floats


@dataclass(frozen=True, eq=False)
class QuadraticCost:
    """`(constant + linear . x + sum_{i <= j} quadratic[i, j] x_i x_j) / divisor`, an integer.

    `linear` has one entry a group (G), `quadratic` is G x G and upper triangular, all are
    non-negative integers. `divisor` clears the fractions that grouped convolutions bring. `top` is
    the numerator of the dense model, the largest number that occurs.
    """

    constant: int
    linear: Counts
    quadratic: Counts
    divisor: int
    top: int

    def __call__(self, counts: Counts) -> Counts:
        """Exact cost of each configuration: `n x G` -> `n`. Counts are not checked."""
        if self.top >= _EXACT:
            inner = self.linear + counts @ self.quadratic
            exact: Counts = (self.constant + (counts * inner).sum(axis=1)) // self.divisor
            return exact
        x = counts.astype(np.float64)
        linear, quadratic = self._floats
        total = np.einsum("ng,ng->n", x, x @ quadratic + linear)
        result: Counts = (total.astype(np.int64) + self.constant) // self.divisor
        return result

    def along(self, counts: Counts, group: int) -> Parabola:
        """The cost as a function of the count of `group` alone, the others as in each row.

        `counts` is `n x G`; what it holds for `group` does not matter. The coefficients are float64
        and right to the last digit, so a value rounded to the nearest integer is the exact cost.
        """
        x = counts.astype(np.float64)
        x[:, group] = 0.0
        linear, quadratic = self._floats
        a = np.full(len(x), quadratic[group, group])
        b = linear[group] + x @ (quadratic[group] + quadratic[:, group])
        c = self.constant + np.einsum("ng,ng->n", x, x @ quadratic + linear)
        return Parabola(a / self.divisor, b / self.divisor, c / self.divisor)

    @cached_property
    def _floats(self) -> tuple[Floats, Floats]:
        return self.linear.astype(np.float64), self.quadratic.astype(np.float64)


def flops_form(architecture: Architecture) -> QuadraticCost:
    """FLOPs of `architecture` as a function of its configuration."""
    return _form(architecture, [(x, _macs_factor(x), 0) for x in architecture.layers], 0)


def parameters_form(architecture: Architecture) -> QuadraticCost:
    """Number of parameters of `architecture` as a function of its configuration."""
    parts = [(x, x.matrix_parameters, x.parameters_per_output) for x in architecture.layers]
    return _form(architecture, parts, architecture.other_parameters)


def flops(architecture: Architecture, counts: Counts) -> Counts:
    """FLOPs of each configuration: `n x groups` -> `n`. Raises `InputError` on invalid counts."""
    return _cached(architecture)[0](check_counts(architecture, counts))


def parameters(architecture: Architecture, counts: Counts) -> Counts:
    """Parameters of each configuration: `n x groups` -> `n`; `InputError` on invalid counts."""
    return _cached(architecture)[1](check_counts(architecture, counts))


def layer_channels(architecture: Architecture, counts: Counts) -> tuple[Counts, Counts]:
    """Input and output channels of every layer, each `n x layers`; counts are not checked."""
    inputs, outputs = _tables(architecture)
    return inputs.of(counts), outputs.of(counts)


def layer_macs(architecture: Architecture, counts: Counts) -> Counts:
    """Multiply-accumulates of every layer, `n x layers` (0 for norms); counts are not checked."""
    inputs, outputs = layer_channels(architecture, counts)
    factors = np.array([_macs_factor(x) for x in architecture.layers], dtype=np.int64)
    groups = np.array([x.groups for x in architecture.layers], dtype=np.int64)
    depthwise = np.array([x.depthwise for x in architecture.layers], dtype=np.bool_)
    each = np.where(depthwise, 1, inputs // groups)
    result: Counts = factors * each * outputs
    return result


def memory_boundness(architecture: Architecture, counts: Counts) -> Floats:
    """Logarithm of numbers moved (weights, activations in and out) per FLOP: `n x groups` -> `n`.

    The inverse of arithmetic intensity (Williams et al., "Roofline", CACM 52(4), 2009).
    """
    inputs, outputs = layer_channels(architecture, counts)
    read = np.array([math.prod(x.input_size) for x in architecture.layers])
    written = np.array([math.prod(x.output_size) for x in architecture.layers])
    moved = (inputs * read + outputs * written).sum(axis=1) + parameters(architecture, counts)
    return np.asarray(np.log(moved / flops(architecture, counts)))


def check_counts(architecture: Architecture, counts: Counts) -> Counts:
    """`counts` as a valid `n x groups` int64 matrix.

    Raises `InputError`, naming the width group, when the shape or the type is wrong, a count is
    below 1 or above its width, or it is no multiple of what its group demands.
    """
    matrix = np.asarray(counts)
    expected = len(architecture.groups)
    if matrix.ndim != 2 or matrix.shape[1] != expected:
        raise InputError(
            f"counts must be a matrix with one column for each of the {expected} width groups of "
            f"{architecture.model}, but got {matrix.shape=}"
        )
    if not np.issubdtype(matrix.dtype, np.integer):
        raise InputError(f"counts must be integers, but got {matrix.dtype=}")
    matrix = matrix.astype(np.int64, copy=False)
    wrong = (matrix < 1) | (matrix > architecture.widths) | (matrix % architecture.multiples != 0)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        group = architecture.groups[column]
        step = f" and be a multiple of {group.multiple}" if group.multiple > 1 else ""
        raise InputError(
            f"the count of `{group.name}` must lie in 1..{group.width}{step}, "
            f"but got {int(matrix[row, column])} in row {row}"
        )
    return matrix


def format_flops(flops: float) -> str:
    """FLOPs for people, three significant digits: `4.09 G`, `575 M`."""
    return amount(flops)


@dataclass(frozen=True, eq=False)
class _Table:
    """One side of all layers: channels = constants (L) + counts @ factors (G x L)."""

    constants: Counts
    factors: Floats

    def of(self, counts: Counts) -> Counts:
        products = counts.astype(np.float64) @ self.factors
        result: Counts = products.astype(np.int64) + self.constants
        return result


@lru_cache(maxsize=16)
def _tables(architecture: Architecture) -> tuple[_Table, _Table]:
    size = len(architecture.groups)
    return (
        _table([x.inputs for x in architecture.layers], size),
        _table([x.outputs for x in architecture.layers], size),
    )


def _table(sides: list[Channels], groups: int) -> _Table:
    factors = np.zeros((groups, len(sides)))
    for column, side in enumerate(sides):
        for group, factor in side.terms:
            factors[group, column] += factor
    return _Table(np.array([s.constant for s in sides], dtype=np.int64), factors)


@lru_cache(maxsize=16)
def _cached(architecture: Architecture) -> tuple[QuadraticCost, QuadraticCost]:
    return flops_form(architecture), parameters_form(architecture)


def _macs_factor(layer: Layer) -> int:
    return layer.has_matrix * math.prod(layer.kernel) * layer.applied_at


def _form(
    architecture: Architecture, parts: Iterable[tuple[Layer, int, int]], constant: int
) -> QuadraticCost:
    """Sum over layers of `product * inputs / groups * outputs + per_output * outputs`."""
    parts = list(parts)
    size = len(architecture.groups)
    divisor = math.lcm(*(layer.groups for layer, _, _ in parts))
    constant *= divisor
    # Python's integers until it is known that all fit.
    linear = np.zeros(size, dtype=object)
    quadratic = np.zeros((size, size), dtype=object)
    for layer, product, per_output in parts:
        one = Channels(layer.groups)
        weights = one if layer.depthwise else layer.inputs
        for inputs, each in ((weights, product), (one, per_output)):
            scale = divisor // layer.groups * each
            constant += scale * inputs.constant * layer.outputs.constant
            for group, factor in inputs.terms:
                linear[group] += scale * factor * layer.outputs.constant
            for group, factor in layer.outputs.terms:
                linear[group] += scale * factor * inputs.constant
                for other, times in inputs.terms:
                    low, high = sorted((group, other))
                    quadratic[low, high] += scale * factor * times
    widths = architecture.widths.astype(object)
    top = int(constant + widths @ (linear + quadratic @ widths)) if size else constant
    if top >= 2**63:
        raise InputError(f"costs must fit 63 bits, but those of {architecture.model} reach {top}")
    return QuadraticCost(
        constant, linear.astype(np.int64), quadratic.astype(np.int64), divisor, top
    )
