"""What the rows of an ingest are, in three numbers: enough to tell whether two brought the same."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

CONTENT = ("content_rows", "content_low", "content_high")
"""The columns that keep it."""
_HALF = 2**32 - 1


class Content(NamedTuple):
    """What the rows of an ingest are, in any order: their number, and sums of the halves of their
    hashes."""

    rows: int = 0
    low: int = 0
    high: int = 0

    def with_rows(self, row_hashes: pl.Series) -> "Content":
        """With more rows."""
        halves = row_hashes.to_numpy().view(np.uint64)
        low, high = halves & np.uint64(_HALF), halves >> np.uint64(32)
        return Content(
            self.rows + len(halves), self.low + int(low.sum()), self.high + int(high.sum())
        )


def contents_of(connection: sa.Connection, which: Sequence[int]) -> dict[int, Content]:
    """Of ingests whose content is not known, from the rows that count."""
    some = ", ".join(str(int(each)) for each in which)
    found = connection.exec_driver_sql(
        f"SELECT ingest_id, count(*), sum(row_hash & {_HALF}), sum((row_hash >> 32) & {_HALF}) "
        f"FROM measurements WHERE ingest_id IN ({some}) GROUP BY ingest_id"
    )
    return {row[0]: Content(*(int(value) for value in row[1:])) for row in found}
