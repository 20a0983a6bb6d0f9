"""Labels against the arrays that they stand for."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hdap.networks.walk.labels import (
    CONSTANT,
    Atoms,
    Factor,
    Labels,
    compressed,
    mapped,
    overlapping,
    reshape_blocks,
    reshaped,
)

SIZES = st.lists(st.sampled_from([1, 1, 2, 3, 4]), min_size=1, max_size=5)


def whole(labels: Labels, shape: list[int]) -> Atoms:
    """One atom an element, for labels of at most one factor."""
    if not labels:
        return np.full(shape, CONSTANT)
    (factor,) = labels
    rest = [
        factor.atoms.shape[factor.dims.index(d)] if d in factor.dims else 1
        for d in range(len(shape))
    ]
    return np.broadcast_to(factor.atoms.reshape(rest), shape)


def regrouped(sizes: list[int], data: st.DataObject) -> list[int]:
    """Other sizes with as many elements."""
    found, left = [], math.prod(sizes)
    while left > 1:
        divisor = data.draw(st.sampled_from([d for d in range(2, left + 1) if left % d == 0]))
        found.append(divisor)
        left //= divisor
    ones = data.draw(st.integers(0, 2))
    return data.draw(st.permutations([*found, *[1] * ones])) or [1]


@given(sizes=SIZES, data=st.data())
def test_a_reshape_moves_labels_as_it_moves_elements(sizes: list[int], data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, len(sizes) - 1))
    labels = (Factor((dim,), np.arange(sizes[dim])),) if sizes[dim] > 1 else ()
    after = regrouped(sizes, data)
    moved, torn = reshaped(labels, sizes, after)
    assert not torn
    assert np.array_equal(whole(moved, after), whole(labels, sizes).reshape(after))


@given(sizes=SIZES, data=st.data())
def test_blocks_of_a_reshape_cover_both_sides_in_order(
    sizes: list[int], data: st.DataObject
) -> None:
    after = regrouped(sizes, data)
    blocks = reshape_blocks(sizes, after)
    assert [d for b in blocks for d in b.old] == list(range(len(sizes)))
    assert [d for b in blocks for d in b.new] == list(range(len(after)))
    for block in blocks:
        assert math.prod(sizes[d] for d in block.old) == math.prod(after[d] for d in block.new)


@given(sizes=SIZES, data=st.data())
def test_a_permutation_moves_labels_as_it_moves_elements(
    sizes: list[int], data: st.DataObject
) -> None:
    dim = data.draw(st.integers(0, len(sizes) - 1))
    labels = (Factor((dim,), np.arange(sizes[dim])),)
    order = data.draw(st.permutations(range(len(sizes))))
    moved = mapped(labels, {d: place for place, d in enumerate(order)})
    after = [sizes[d] for d in order]
    assert np.array_equal(whole(moved, after), whole(labels, sizes).transpose(order))


def test_channels_in_groups_lie_along_two_dimensions_and_come_back() -> None:
    labels = (Factor((1,), np.arange(6)),)
    apart, _ = reshaped(labels, (1, 6, 5), (1, 2, 3, 5))
    assert apart[0].dims == (1, 2)
    back, _ = reshaped(mapped(apart, {1: 2, 2: 1}), (1, 3, 2, 5), (1, 6, 5))
    assert back[0].atoms.tolist() == [0, 3, 1, 4, 2, 5]


def test_two_factors_in_one_block_are_torn() -> None:
    labels = (Factor((0,), np.arange(2)), Factor((1,), np.arange(3)))
    moved, torn = reshaped(labels, (2, 3), (6,))
    assert (moved, torn) == ((), labels)


def test_what_is_alike_along_a_dimension_does_not_lie_along_it() -> None:
    (factor,) = compressed((1, 3), np.array([[4, 4], [7, 7]]))
    assert factor.dims == (1,)
    assert factor.atoms.tolist() == [4, 7]
    assert compressed((0,), np.array([5, 5])) == ()


def test_factors_that_share_a_dimension_are_one_set() -> None:
    factors = [Factor(dims, np.zeros([2] * len(dims), np.int64)) for dims in ((0, 1), (3,), (1, 2))]
    assert overlapping(factors) == [(0, 1, 2), (3,)]
