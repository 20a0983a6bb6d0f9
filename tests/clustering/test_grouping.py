"""What is gathered a block of rows at a time is what it would be at once, in less memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.clustering.fingerprint import fingerprint
from hdap.clustering.grouping import (
    compact,
    grouped_count,
    grouped_median,
    grouped_sum,
    median_size,
)
from hdap.fleet_data import row_blocks

MOST_BYTES = 50
"""A row: its residual, weight and workload, its log latency, and what is sorted for a median."""


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_blocks, "BLOCK", 7)
        yield


NUMBERS = st.floats(-100, 100, width=32) | st.just(float("nan"))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@given(rows=st.lists(st.tuples(st.integers(0, 4), NUMBERS), max_size=40))
def test_groups_of_several_blocks_are_those_of_all_rows(
    kind: type[Any], rows: list[tuple[int, float]]
) -> None:
    groups = np.array([group for group, _ in rows], dtype=np.int32)
    values = np.array([value for _, value in rows], dtype=kind)
    mine = [values[(groups == g) & np.isfinite(values)].astype(np.float64) for g in range(5)]
    expected = [np.median(v) if len(v) else np.nan for v in mine]
    np.testing.assert_allclose(grouped_median(groups, values, 5), expected, atol=1e-9)
    assert grouped_count(groups, 5).tolist() == [int((groups == g).sum()) for g in range(5)]
    np.testing.assert_allclose(grouped_sum(groups, np.nan_to_num(values), 5), list(map(sum, mine)))
    every = np.concatenate(mine)
    size = np.median(np.abs(every)) if len(every) else np.nan
    np.testing.assert_allclose(median_size(values.astype(np.float64)), size)
    numbers, used = compact(groups)
    assert np.unique(groups)[numbers].tolist() == groups.tolist()
    assert used == len(np.unique(groups))


@given(index=st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_a_long_look_up_is_the_short_one(index: list[int]) -> None:
    values, chosen = np.array([3, 1, 2], dtype=np.int16), np.array(index, dtype=np.int32)
    found = row_blocks.taken(values, chosen)
    assert (found.tolist(), found.dtype) == (values[chosen].tolist(), values.dtype)
    same = row_blocks.taken(values, np.broadcast_to(chosen[:1], 20))
    assert (same.tolist(), same.strides) == ([int(values[chosen[0]])] * 20, (0,))


def test_a_fingerprint_takes_few_bytes_a_row(
    simulate: Callable[..., Any], kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_blocks, "BLOCK", 4096)
    rows = simulate([kind(500), kind(500, offset=0.3)], rows=200, dense=1.0).measurements
    tracemalloc.start()
    fingerprint(rows, np.random.default_rng(0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most / len(rows) < MOST_BYTES
