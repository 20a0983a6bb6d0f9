import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.image_files.idx_files import read_idx, read_idx_folder

SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def _idx(array: np.typing.NDArray[np.uint8], kind: int = 8) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


def test_both_parts_of_a_folder(mnist: Path) -> None:
    parts = read_idx_folder(mnist)
    assert parts.train.pixels.shape == (30, 1, 28, 28)
    assert parts.validation.pixels.shape == (20, 1, 28, 28)
    assert parts.train.labels.tolist() == [*range(10)] * 3
    assert parts.train.classes == tuple("0123456789")
    raw = gzip.decompress((mnist / "train-images-idx3-ubyte.gz").read_bytes())
    assert parts.train.pixels.tobytes() == raw[16:]


def test_names_with_a_dot_are_read_too(mnist: Path) -> None:
    before = read_idx_folder(mnist).validation.labels
    (mnist / "t10k-labels-idx1-ubyte").rename(mnist / "t10k-labels.idx1-ubyte")
    assert np.array_equal(read_idx_folder(mnist).validation.labels, before)


def test_a_missing_file_is_named(mnist: Path) -> None:
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="has no t10k-labels"):
        read_idx_folder(mnist)


def test_labels_are_as_many_as_images_and_are_classes(mnist: Path) -> None:
    labels = mnist / "train-labels-idx1-ubyte"
    labels.write_bytes(_idx(np.zeros(29, np.uint8)))
    with pytest.raises(InputError, match="29 labels and 30 images"):
        read_idx_folder(mnist)
    labels.write_bytes(_idx(np.full(30, 10, np.uint8)))
    with pytest.raises(InputError, match=r"in 0\.\.9, but one is 10"):
        read_idx_folder(mnist, tuple("abcdefghij"))


def test_parts_of_different_sizes_are_refused(mnist: Path) -> None:
    (mnist / "t10k-images-idx3-ubyte.gz").write_bytes(_idx(np.zeros((20, 8, 8), np.uint8)))
    with pytest.raises(InputError, match="images of one shape"):
        read_idx_folder(mnist)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG....................", "begins with 89 50 4e 47"),
        (_idx(SMALL, kind=0x0D), "holds float32 in 3"),
        (_idx(SMALL, kind=0x77), "an unknown type"),
        (_idx(SMALL[0]), "holds uint8 in 2"),
        (_idx(SMALL)[:-1], "2 x 3 x 4 bytes, as its header says, but holds 23"),
        (_idx(SMALL) + b"\0", "but holds 25"),
        (_idx(SMALL)[:4] + b"\xff" * 12, "4294967295 x 4294967295"),
        (gzip.compress(_idx(SMALL), mtime=0)[:-9], "EOFError"),
        (gzip.compress(_idx(SMALL), mtime=0)[:12] + b"\0" * 40, "failed with"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_idx(file, 3)
    assert "\n" not in str(caught.value)


def test_no_images_are_refused(mnist: Path) -> None:
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(_idx(np.zeros((0, 28, 28), np.uint8)))
    (mnist / "train-labels-idx1-ubyte").write_bytes(_idx(np.zeros(0, np.uint8)))
    with pytest.raises(InputError, match="must hold images"):
        read_idx_folder(mnist)


@given(
    place=st.integers(0, 60),
    cut=st.integers(0, 60),
    new=st.binary(max_size=8),
    zipped=st.booleans(),
)
def test_a_damaged_file_gives_an_array_or_one_kind_of_error(
    place: int, cut: int, new: bytes, zipped: bool
) -> None:
    whole = gzip.compress(_idx(SMALL), mtime=0) if zipped else _idx(SMALL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        file.write_bytes(whole[:place] + new + whole[place + cut :])
        try:
            found = read_idx(file, 3)
        except InputError:
            return
    assert found.dtype == np.uint8
    assert found.ndim == 3


@given(shape=st.tuples(*[st.integers(1, 6)] * 3), seed=st.integers(0, 9), zipped=st.booleans())
def test_what_was_written_is_read(shape: tuple[int, int, int], seed: int, zipped: bool) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        file.write_bytes(gzip.compress(_idx(array)) if zipped else _idx(array))
        assert np.array_equal(read_idx(file, 3), array)
