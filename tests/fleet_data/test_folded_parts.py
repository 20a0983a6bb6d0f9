"""Parts folded now and then are what all of them at once are."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data import folded_parts
from hdap.fleet_data.folded_parts import FoldedParts

EMPTY = pl.DataFrame(schema={"device": pl.Int64, "weight": pl.Int64})


def last_of_each(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.unique("device", keep="last", maintain_order=True)


def parts_of(blocks: list[list[int]]) -> list[pl.DataFrame]:
    weight = iter(range(10_000))
    return [
        pl.DataFrame(
            {"device": block, "weight": [next(weight) for _ in block]}, schema=EMPTY.schema
        )
        for block in blocks
    ]


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=30), st.integers(0, 20))
def test_the_same_as_all_at_once(blocks: list[list[int]], most: int) -> None:
    parts = parts_of(blocks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded_parts, "MOST_ROWS", most)
        folded = FoldedParts(EMPTY, last_of_each)
        for part in parts:
            folded.add(part)
    expected = last_of_each(pl.concat([EMPTY, *parts]))
    assert folded.total().sort("device").equals(expected.sort("device"))


def test_a_row_is_folded_a_few_times_and_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folded_parts, "MOST_ROWS", 10)
    seen: list[int] = []

    def fold(rows: pl.DataFrame) -> pl.DataFrame:
        seen.append(rows.height)
        return last_of_each(rows)

    folded = FoldedParts(EMPTY, fold)
    for part in parts_of([[number] for number in range(1_000)]):
        folded.add(part)
    assert folded.total().height == 1_000
    assert len(seen) <= 10
    assert sum(seen) <= 4_000
