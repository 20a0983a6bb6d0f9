"""Long columns a block of rows at a time, so that no temporary is as long as the column.

NumPy widens a whole index of 32-bit integers before it looks anything up: of twenty million rows
that is 160 MB, for each look.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
T = TypeVar("T", bound=np.generic)


def row_blocks(rows: int) -> Iterator[slice]:
    """0 to `rows` in blocks of at most `BLOCK`."""
    for start in range(0, rows, BLOCK):
        yield slice(start, min(start + BLOCK, rows))


def taken(values: NDArray[T], index: NDArray[np.signedinteger[Any]]) -> NDArray[T]:
    """`values[index]` of a long `index` (n); one number for all where all of it is one."""
    if index.strides == (0,) and len(index):
        return np.broadcast_to(values[index[:1]], index.shape)
    result = np.empty(len(index), dtype=values.dtype)
    for part in row_blocks(len(index)):
        result[part] = values[index[part]]
    return result
