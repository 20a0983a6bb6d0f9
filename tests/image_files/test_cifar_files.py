import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.image_files.cifar_files import edition_of, read_cifar

Make = Callable[[Path], Path]


@pytest.mark.parametrize("edition", ["python", "binary"])
@pytest.mark.parametrize("form", ["folder", "folder around", "archive"])
def test_every_form_gives_the_same(
    edition: str, form: str, tmp_path: Path, cifar: dict[str, Make], packed: Make
) -> None:
    folder = cifar[edition](tmp_path / "data" / "cifar-10-batches")
    path = {"folder": folder, "folder around": folder.parent}.get(form) or packed(folder)
    parts = read_cifar(path)
    assert (parts.train.pixels.shape, len(parts.validation.labels)) == ((20, 3, 32, 32), 4)
    assert parts.train.pixels[:4, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert parts.train.labels.tolist() == [0, 3, 5, 9] * 5
    assert parts.train.classes[9] in ("thing 9", "thing-9")
    assert parts.train.mirrored


def test_cifar_100_has_a_hundred_classes(tmp_path: Path, cifar: dict[str, Make]) -> None:
    parts = read_cifar(cifar["hundred"](tmp_path / "cifar-100-python"))
    assert len(parts.train.classes) == 100
    assert parts.validation.labels.tolist() == [90, 93, 95, 99]


def test_a_folder_of_classes_is_no_cifar(tmp_path: Path) -> None:
    (tmp_path / "train" / "cats").mkdir(parents=True)
    (tmp_path / "test").mkdir()
    assert edition_of(tmp_path) is None


def test_a_missing_file_is_named(tmp_path: Path, cifar: dict[str, Make], packed: Make) -> None:
    folder = cifar["python"](tmp_path / "cifar")
    (folder / "data_batch_4").unlink()
    with pytest.raises(InputError, match="lacks data_batch_4"):
        read_cifar(packed(folder))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch was-run",)


def test_nothing_in_a_pickle_is_executed(
    tmp_path: Path, cifar: dict[str, Make], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = cifar["python"](tmp_path / "cifar")
    (folder / "data_batch_2").write_bytes(pickle.dumps({"data": _Evil()}))
    with pytest.raises(InputError, match=r"data_batch_2 .*\.system, which is no data"):
        read_cifar(folder)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "must hold a dict"),
        ({"data": np.zeros((4, 3072)), "labels": [0] * 4}, "must hold `data`"),
        ({"data": np.zeros((4, 3072), np.uint8)}, "must hold `data`"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 10]}, r"in 0\.\.9"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2]}, "label an image"),
    ],
)
def test_other_content_is_one_line(
    content: object, message: str, tmp_path: Path, cifar: dict[str, Make]
) -> None:
    folder = cifar["python"](tmp_path / "cifar")
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match=message):
        read_cifar(folder)


def test_binary_rows_are_whole(tmp_path: Path, cifar: dict[str, Make]) -> None:
    folder = cifar["binary"](tmp_path / "cifar")
    file = folder / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="rows of 3,073 bytes"):
        read_cifar(folder)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\0\0\0\0\0"])
def test_a_file_that_is_no_archive_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "data.tar.gz"
    file.write_bytes(content)
    with pytest.raises(InputError, match="archive of CIFAR") as caught:
        read_cifar(file)
    assert "\n" not in str(caught.value)


@given(place=st.integers(0, 3000), cut=st.integers(0, 3000), new=st.binary(max_size=6))
def test_a_damaged_pickle_is_one_kind_of_error(place: int, cut: int, new: bytes) -> None:
    rows = {"data": np.zeros((1, 3072), np.uint8), "fine_labels": [7]}
    whole = pickle.dumps(rows, protocol=2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test").write_bytes(whole)
        (folder / "train").write_bytes(whole[:place] + new + whole[place + cut :])
        try:
            found = read_cifar(folder)
        except InputError:
            return
    assert found.train.pixels.shape[1:] == (3, 32, 32)
