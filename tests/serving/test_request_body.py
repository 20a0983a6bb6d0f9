import io
import json
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from hdap.fleet_data.errors import InputError
from hdap.serving.request_body import JSON, NPY, RAW, kind_of, most_bytes, read_image

SHAPE = (2, 3, 4)
IMAGES = arrays.arrays(np.float32, SHAPE, elements=st.floats(-1e6, 1e6, width=32))


def saved(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@given(image=IMAGES, one=st.booleans(), columns=st.booleans())
def test_what_a_client_sends_is_what_arrives(
    image: NDArray[np.float32], one: bool, columns: bool
) -> None:
    sent = image[None] if one else image
    stored = np.asfortranarray(sent) if columns else sent
    bodies = {
        RAW: image.tobytes(),
        NPY: saved(stored),
        JSON: json.dumps({"input": sent.tolist()}).encode(),
    }
    for kind, body in bodies.items():
        assert len(body) <= most_bytes(kind, SHAPE)
        found = read_image(body, kind, SHAPE)
        assert found.dtype == np.float32
        assert found.shape == SHAPE
        assert (found == image).all()


@pytest.mark.parametrize("kind", ["<f8", ">f4", "<f2", "u1", "<i8"])
def test_other_kinds_of_numbers_in_a_file_are_converted(kind: str) -> None:
    image = np.arange(24).reshape(SHAPE).astype(kind)
    assert (read_image(saved(image), NPY, SHAPE) == image).all()


def test_a_plain_list_is_json_too() -> None:
    body = json.dumps(np.ones(SHAPE).tolist()).encode()
    assert (read_image(body, JSON, SHAPE) == 1).all()


JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
)


@given(body=st.binary(max_size=300) | st.binary(max_size=200).map(lambda x: saved(np.ones(3)) + x))
def test_any_bytes_are_an_image_or_one_line(body: bytes) -> None:
    for kind in (RAW, NPY, JSON):
        _image_or_line(body, kind)


@given(document=JSONS)
def test_any_json_is_an_image_or_one_line(document: object) -> None:
    _image_or_line(json.dumps(document).encode(), JSON)
    _image_or_line(json.dumps({"input": document}).encode(), JSON)


def _image_or_line(body: bytes, kind: str) -> None:
    with suppress(InputError):
        assert np.isfinite(read_image(body, kind, SHAPE)).all()


@pytest.mark.parametrize(
    ("body", "kind", "match"),
    [
        (b"123", RAW, "must be 96 bytes, but got 3"),
        (np.full(SHAPE, np.nan, np.float32).tobytes(), RAW, "must be finite"),
        (saved(np.full(SHAPE, 1e300)), NPY, "must be finite"),
        (saved(np.zeros((3, 2, 4), np.float32)), NPY, r"shape \[2, 3, 4\], but has \[3, 2, 4\]"),
        (saved(np.zeros(SHAPE, np.float32))[:-1], NPY, "is cut or long"),
        (saved(np.zeros(SHAPE, np.complex64)), NPY, "must hold numbers"),
        (b"\x93NUMPY\x01\x00", NPY, "must be a .npy file"),
        (b"[[[", JSON, "must be JSON"),
        (b"[" * 100_000, JSON, "must be JSON"),
        (b'{"image": 1}', JSON, "shape"),
        (b'{"input": [[1], [1, 2]]}', JSON, "must be"),
        (b"[" + b"9" * 400 + b"]", JSON, "must be"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, kind: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_image(body, kind, SHAPE)


def test_objects_are_never_unpickled() -> None:
    with pytest.raises(InputError, match="must hold numbers"):
        read_image(saved(np.array([[[print]]], dtype=object)), NPY, (1, 1, 1))


def test_a_header_that_promises_a_huge_array_allocates_nothing() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    tracemalloc.start()
    with pytest.raises(InputError, match="must have shape"):
        read_image(body, NPY, SHAPE)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_kinds_are_told_by_the_content_type() -> None:
    assert kind_of(None) == RAW
    assert kind_of("application/json; charset=utf-8") == JSON
    assert kind_of("APPLICATION/X-NPY") == NPY
    with pytest.raises(InputError, match="must be one of"):
        kind_of("text/plain")
