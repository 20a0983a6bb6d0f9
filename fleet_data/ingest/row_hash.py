"""The identity of a measurement: 64 bits of its canonical content.

The same content has the same hash in every file, version and database, so that a row that comes
again is recognised. Each column that is known adds one mixed term: a column that a file lacks and a
column that is empty are the same.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def text_hash(*parts: str) -> int:
    """A stable 64-bit hash of texts."""
    joined = "\0".join(parts).encode()
    return int.from_bytes(blake2b(joined, digest_size=8).digest(), "little")


def text_hashes(texts: Iterable[str]) -> pl.Series:
    """`text_hash` of each text."""
    return pl.Series([text_hash(text) for text in texts], dtype=pl.UInt64)


def signed(value: int) -> int:
    """The same 64 bits as a signed integer, as databases have them."""
    return value - 2**64 if value >= 2**63 else value


def row_hashes(columns: Mapping[str, pl.Series]) -> NDArray[np.int64]:
    """The hash of each row. Columns are UInt64 hashes, Int64 or Float64; null is unknown."""
    height = len(next(iter(columns.values())))
    total = np.zeros(height, dtype=np.uint64)
    for name, column in columns.items():
        term = _mix(_bits(column) + np.uint64(text_hash(name)))
        if column.null_count():
            term[column.is_null().to_numpy()] = 0
        total += term
    return _mix(total).view(np.int64)


def with_software(row_hash: int, software: str) -> int:
    """The hash of a row that was stored without its `software`, a text, with it."""
    term = _mix(np.array([text_hash(software)], dtype=np.uint64) + np.uint64(text_hash("software")))
    total = _unmix(np.array([row_hash], dtype=np.int64).view(np.uint64))
    return int(_mix(total + term).view(np.int64)[0])


def _bits(column: pl.Series) -> Hashes:
    filled = column.fill_null(0) if column.null_count() else column
    values = filled.to_numpy()
    if values.dtype == np.float64:
        return (values + 0.0).view(np.uint64)  # -0.0 is 0.0
    return values.astype(np.int64 if values.dtype.kind == "i" else np.uint64).view(np.uint64)


def _mix(values: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014), a bijection that scatters all bits."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _unmix(mixed: Hashes) -> Hashes:
    """Inverse of `_mix`; its factors are the inverses of those modulo 2**64."""
    with np.errstate(over="ignore"):
        values = _unshift(mixed, 31) * np.uint64(pow(0x94D049BB133111EB, -1, 2**64))
        values = _unshift(values, 27) * np.uint64(pow(0xBF58476D1CE4E5B9, -1, 2**64))
        return _unshift(values, 30) - np.uint64(0x9E3779B97F4A7C15)


def _unshift(values: Hashes, bits: int) -> Hashes:
    """Inverse of `x ^ (x >> bits)`: each round sets `bits` more bits right."""
    found = values.copy()
    for _ in range(64 // bits):
        found = values ^ (found >> np.uint64(bits))
    return found
