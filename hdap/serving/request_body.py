"""From the body of a request to an image: raw float32, .npy, or JSON."""

import io
import json
import math

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.errors import InputError

RAW, NPY, JSON = "application/octet-stream", "application/x-npy", "application/json"
_HEADER = 4096
"""Bytes that are allowed beside the numbers."""
_DIGITS = 32
"""Bytes of a number as text, its comma included."""

Shape = tuple[int, ...]


def kind_of(content_type: str | None) -> str:
    """Which of RAW, NPY and JSON a Content-Type is; raises InputError for another."""
    kind = (content_type or RAW).partition(";")[0].strip().lower()
    if kind not in (RAW, NPY, JSON):
        raise InputError(f"Content-Type must be one of {RAW}, {NPY}, {JSON}, but got {kind!r}")
    return kind


def most_bytes(kind: str, shape: Shape) -> int:
    """How long a body may be that holds one input."""
    number = {RAW: 4, NPY: 8, JSON: _DIGITS}[kind]
    return math.prod(shape) * number + (_HEADER if kind != RAW else 0)


def read_image(body: bytes, kind: str, shape: Shape) -> NDArray[np.float32]:
    """The input, of `shape`; nothing in a body is executed and none makes a large array.

    Raises InputError: another number of bytes, another shape, numbers that are not finite.
    """
    image = {RAW: _raw, NPY: _npy, JSON: _json}[kind](body, shape)
    if not np.isfinite(image).all():
        raise InputError("an input must be finite numbers, but some are not; check its scaling")
    return image


def _raw(body: bytes, shape: Shape) -> NDArray[np.float32]:
    wanted = 4 * math.prod(shape)
    if len(body) != wanted:
        raise InputError(
            f"raw float32 of shape {list(shape)} must be {wanted} bytes, but got {len(body)}; "
            f"send .npy as {NPY} or JSON as {JSON}"
        )
    return np.frombuffer(body, dtype="<f4").reshape(shape).astype(np.float32)


def _npy(body: bytes, shape: Shape) -> NDArray[np.float32]:
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER)
        else:
            header = np.lib.format.read_array_header_2_0(file, max_header_size=_HEADER)
    except Exception as error:
        raise InputError(
            f"the body must be a .npy file, but is not ({_first(error)}); write it with numpy.save"
        ) from error
    found, in_columns, kind = header
    if kind.kind not in "fiu" or kind.itemsize > 8:
        raise InputError(f"a .npy must hold numbers of 64 bits or less, but holds {kind}")
    _require_shape(found, shape)
    rest = body[file.tell() :]
    if len(rest) != kind.itemsize * math.prod(shape):
        raise InputError(f"a .npy of {list(shape)} must hold that many numbers, but is cut or long")
    numbers = np.frombuffer(rest, dtype=kind)
    # in column order the last axis comes first
    numbers = numbers.reshape(found[::-1]).T if in_columns else numbers
    numbers = numbers.reshape(shape)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(numbers, dtype=np.float32)


def _json(body: bytes, shape: Shape) -> NDArray[np.float32]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body must be JSON, but is not ({_first(error)})") from error
    if isinstance(document, dict):
        document = document.get("input")
    try:
        numbers = np.array(document, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f'JSON must be {{"input": [...]}} with numbers of shape {list(shape)}, but is not '
            f"({_first(error)})"
        ) from error
    _require_shape(numbers.shape, shape)
    with np.errstate(over="ignore"):
        return numbers.reshape(shape).astype(np.float32)


def _require_shape(found: tuple[int, ...], shape: Shape) -> None:
    if found not in (shape, (1, *shape)):
        raise InputError(f"an input must have shape {list(shape)}, but has {list(found)}")


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
