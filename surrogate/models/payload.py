"""Surrogates as bytes: numpy archives of plain numbers, which load without executing code."""

import io
from collections.abc import Mapping
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hdap.fleet_data.errors import InputError

FORMAT = 2
READABLE = (1, 2)
"""Format 2 may hold what context does; format 1 never did."""


def pack(kind: str, arrays: Mapping[str, Any]) -> bytes:
    """Arrays and numbers of one cluster's surrogate as a compressed archive."""
    buffer = io.BytesIO()
    named: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
    np.savez_compressed(buffer, kind=np.array(kind), format=np.array(FORMAT), **named)
    return buffer.getvalue()


def unpack(
    kind: str, payload: bytes, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Inverse of `pack` for the named arrays, and those of `optional` that are there.

    Raises InputError for anything else.
    """
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            found, version = str(archive["kind"]), int(archive["format"])
            if found == kind and version in READABLE:
                there = [name for name in optional if name in archive]
                return {name: archive[name] for name in (*names, *there)}
    except (BadZipFile, KeyError, OSError, ValueError, EOFError) as error:
        raise InputError(
            f"a stored surrogate must be an archive of kind `{kind}`, but it does not read as one "
            f"({error}); fit again: hdap fit"
        ) from error
    raise InputError(
        f"a stored surrogate must be of kind `{kind}` and a format of {READABLE}, but got "
        f"{found=} {version=}; fit again: hdap fit"
    )
