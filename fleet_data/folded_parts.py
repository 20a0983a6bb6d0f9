"""Frames that come a block at a time, and what becomes of all of them."""

from collections.abc import Callable

import polars as pl

MOST_ROWS = 1_000_000
"""Rows that may wait to be folded: some ten columns of them are 80 MB."""
Fold = Callable[[pl.DataFrame], pl.DataFrame]


class FoldedParts:
    """Takes frames of one schema and folds them: `fold(a + b) = fold(fold(a) + b)`, and what is
    folded is no longer.

    Memory is that of the result and as much again: parts wait until they are as many rows as what
    was folded before, so that no row is folded more than a few times.
    """

    def __init__(self, empty: pl.DataFrame, fold: Fold) -> None:
        self._fold = fold
        self._parts = [empty]
        self._waiting = 0

    def add(self, part: pl.DataFrame) -> None:
        """One more frame, after all others."""
        self._parts.append(part)
        self._waiting += part.height
        if self._waiting > max(MOST_ROWS, self._parts[0].height):
            self._parts, self._waiting = [self.total()], 0

    def total(self) -> pl.DataFrame:
        """All so far, folded."""
        return self._fold(pl.concat(self._parts))
