"""Encoding and decoding of what is not a plain column: arrays, JSON, times."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Floats


def encode_arrays(arrays: Sequence[NDArray[Any]]) -> bytes:
    """Arrays as one NumPy archive; nothing in it can execute code."""
    file = io.BytesIO()
    np.savez_compressed(file, *arrays)
    return file.getvalue()


def decode_arrays(data: bytes) -> tuple[NDArray[Any], ...]:
    """Inverse of `encode_arrays`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return tuple(archive[f"arr_{i}"] for i in range(len(archive.files)))


def jsonable(value: Any) -> Any:
    """The value with NumPy scalars and arrays as Python's own and NaN as null (JSON has none)."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def number_or_null(value: float) -> float | None:
    """A finite float, or None: NaN does not exist in SQLite."""
    number = float(value)
    return number if math.isfinite(number) else None


def number_or_nan(value: float | None) -> float:
    """Inverse of `number_or_null`."""
    return math.nan if value is None else float(value)


def encode_channels(names: Sequence[str], counts: NDArray[np.int64]) -> list[str]:
    """One JSON object {group: count} a row of `counts` (n x groups)."""
    pairs = (json.dumps(name, ensure_ascii=False).replace("%", "%%") + ": %d" for name in names)
    template = "{" + ", ".join(pairs) + "}"
    return [template % tuple(row) for row in counts.tolist()]


def float_blobs(matrix: Floats) -> list[bytes]:
    """Each row of an n x F matrix as little-endian float64."""
    rows = np.ascontiguousarray(matrix, dtype="<f8")
    return [row.tobytes() for row in rows]
