"""Files and folders that appear whole, whatever their names, and what a refusal says."""

import errno
from pathlib import Path

import pytest

from hdap.fleet_data.atomic_files import (
    beside,
    finish_replacing,
    replace_file,
    require_free_file,
    require_free_folder,
    require_place_of,
    whole_folder,
    writable,
)
from hdap.fleet_data.errors import InputError

LONGEST = ("x" * 255, "\u00e9" * 127, "\U0001f600" * 63)
TOO_LONG = "x" * 256


@pytest.mark.parametrize("name", LONGEST)
def test_the_longest_names_that_a_file_system_takes_can_be_written(
    tmp_path: Path, name: str
) -> None:
    replace_file(tmp_path / name, b"content")
    assert (tmp_path / name).read_bytes() == b"content"
    (tmp_path / name).unlink()
    for _ in range(2):
        with whole_folder(tmp_path / name) as folder:
            (folder / "file").touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["tuned", "x" * 255])
def test_what_a_killed_process_left_of_replacing_is_finished(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    with whole_folder(place) as folder:
        (folder / "file").write_text("old")
    place.rename(beside(place, "replaced-7-ab"))
    beside(place, "writing-7-ab").mkdir()  # whole, or the old one would not be away
    (beside(place, "writing-7-ab") / "file").write_text("new")
    finish_replacing(tmp_path / "never")
    finish_replacing(tmp_path / "no" / "folder")
    for _ in range(2):
        finish_replacing(place)
        assert (place / "file").read_text() == "new"
        assert list(tmp_path.iterdir()) == [place]


def test_what_somebody_threw_away_does_not_come_back(tmp_path: Path) -> None:
    place = tmp_path / "out"
    beside(place, "replaced-7-ab").mkdir()  # its process was killed when the new one was in place
    finish_replacing(place)
    assert list(tmp_path.iterdir()) == []


def test_neighbours_of_long_names_that_begin_alike_differ() -> None:
    one, other = (beside(Path("x" * 100 + end), "partial") for end in "ab")
    assert one != other
    assert beside(Path("place/t.csv"), "partial") == Path("place/.t.csv.partial")


@pytest.mark.parametrize(
    "refuse",
    [
        lambda place: replace_file(place, b""),
        require_place_of,
        lambda place: require_free_file(place, force=False),
        lambda place: require_free_folder(place, force=False, replaceable=frozenset()),
    ],
)
def test_a_name_that_is_too_long_is_to_be_shortened(tmp_path: Path, refuse: object) -> None:
    assert callable(refuse)
    with pytest.raises(InputError, match=r"must be writable, but .*give it a shorter name"):
        refuse(tmp_path / TOO_LONG)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("folder", r"must name a file, but .*folder is a folder"),
        ("file/page.html", r"a file must lie in a folder, but .*file is none"),
        ("none/page.html", r"there is no .*none: create it"),
    ],
)
def test_a_place_that_takes_no_file_is_named(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        require_place_of(tmp_path / place)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "change the rights"),
        (errno.EROFS, "not read-only"),
        (errno.ENOSPC, "free space"),
        (errno.EIO, "name another place"),
    ],
)
def test_advice_is_for_what_happened(number: int, advice: str) -> None:
    with pytest.raises(InputError, match=advice), writable(Path("x")):
        raise OSError(number, "it failed")
