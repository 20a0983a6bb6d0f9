import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hdap.fleet_data.architecture import Counts
from hdap.search.samplers.moves import among, distinct

MATRICES = st.integers(0, 12).flatmap(
    lambda n: arrays(np.int64, (n, 3), elements=st.sampled_from([1, 2, 3, 2**40]))
)


@given(MATRICES)
def test_distinct_rows_are_the_first_of_each_kind_in_order(counts: Counts) -> None:
    assert distinct(counts).tolist() == [list(row) for row in dict.fromkeys(map(tuple, counts))]


@given(MATRICES, MATRICES)
def test_rows_among_others_are_those_that_occur_there(counts: Counts, others: Counts) -> None:
    known = set(map(tuple, others))
    assert among(counts, others).tolist() == [tuple(row) in known for row in counts]
