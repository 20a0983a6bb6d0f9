import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hdap.fleet_data.errors import InputError
from hdap.training.batching import batches
from hdap.training.datasets import Data, DataOptions, hold_out, set_epoch, split
from hdap.training.load_data import load_data

OPTIONS = DataOptions(input_shape=(3, 16, 16), validation_share=0.25)
CODE = """
import torch
from torch.utils.data import IterableDataset, TensorDataset
from hdap.training.datasets import Data

def one(count=20):
    rng = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(count, 1, 4, 4, generator=rng), torch.arange(count) % 4)

def pair():
    return one(20), one(8)

def whole():
    return Data(one(20), one(8), 7)

def without_validation():
    return one(20), None

def number():
    return 3

def named():
    found = one()
    found.targets = ["cat", "dog"] * 10
    return found

def one_hot():
    found = one()
    found.targets = torch.eye(20)
    return found

class Broken:
    def __len__(self):
        return 8

    def __getitem__(self, place):
        raise ZeroDivisionError("of my own")

def broken():
    return Broken()

def failing():
    raise RuntimeError("the disk is elsewhere")

def empty():
    return one(0), one(8)

class Stream(IterableDataset):
    def __iter__(self):
        return iter(())

def stream():
    return Stream()
"""


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "somedata.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("somedata", None)


def _pictures(folder: Path, classes: int = 2, each: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for label in range(classes):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for i in range(each):
            pixels = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{i}.{'png' if i % 2 else 'jpg'}")
    return folder


def test_a_folder_of_classes_is_split_by_the_seed(tmp_path: Path) -> None:
    folder = str(_pictures(tmp_path / "data"))
    data = load_data(folder, OPTIONS)
    assert (len(data.train), len(data.validation), data.classes) == (9, 3, 2)
    image, label = data.train[0]
    assert (image.shape, image.dtype) == ((3, 16, 16), torch.float32)
    assert label in (0, 1)
    again = load_data(folder, OPTIONS)
    assert torch.equal(data.validation[1][0], again.validation[1][0])


def test_train_and_val_folders_are_used_as_they_are(tmp_path: Path) -> None:
    _pictures(tmp_path / "train")
    _pictures(tmp_path / "val", each=2)
    data = load_data(str(tmp_path), OPTIONS)
    assert (len(data.train), len(data.validation)) == (12, 4)


def test_validation_folders_of_other_classes_are_refused(tmp_path: Path) -> None:
    _pictures(tmp_path / "train", classes=3)
    _pictures(tmp_path / "val", classes=2)
    with pytest.raises(InputError, match="differ in class2"):
        load_data(str(tmp_path), OPTIONS)


def test_augmentation_differs_between_epochs_and_follows_from_the_seed(tmp_path: Path) -> None:
    data = load_data(str(_pictures(tmp_path / "data")), OPTIONS)
    first = data.train[2][0]
    state = torch.random.get_rng_state()
    assert torch.equal(data.train[2][0], first)
    assert torch.equal(torch.random.get_rng_state(), state)
    set_epoch(data.train, 1)
    assert not torch.equal(data.train[2][0], first)
    set_epoch(data.train, 0)
    assert torch.equal(data.train[2][0], first)


def test_what_is_held_out_of_training_is_not_augmented(tmp_path: Path) -> None:
    data = load_data(str(_pictures(tmp_path / "data")), OPTIONS)
    rest, held = hold_out(data, 0.3, seed=1)
    assert (len(rest.train), len(held)) == (6, 3)
    before = held[0][0]
    set_epoch(rest.train, 5)
    assert torch.equal(held[0][0], before)


def _break(folder: Path) -> None:
    (folder / "class0" / "0.jpg").write_bytes(b"no image")
    whole = (folder / "class1" / "2.jpg").read_bytes()
    (folder / "class1" / "2.jpg").write_bytes(whole[: len(whole) // 2])


def test_unreadable_images_stop_with_their_names_and_number(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "data")
    _break(folder)
    with pytest.raises(InputError, match=r"2 of 12 are not: .*0\.jpg, .*2\.jpg; .*skip"):
        load_data(str(folder), OPTIONS)


def test_unreadable_images_are_left_out_and_listed_where_asked(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "data")
    _break(folder)
    options = DataOptions(input_shape=(3, 16, 16), on_unreadable="skip")
    data = load_data(str(folder), options)
    assert len(data.train) + len(data.validation) == 10
    assert [Path(name).name for name in data.skipped] == ["0.jpg", "2.jpg"]


def test_a_class_that_is_left_without_images_is_named(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "data", each=1)
    (folder / "class1" / "0.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="class1 has none"):
        load_data(str(folder), DataOptions(input_shape=(3, 16, 16), on_unreadable="skip"))


def test_an_image_that_is_lost_after_the_check_is_one_line(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "data")
    data = load_data(str(folder), OPTIONS)
    for file in folder.glob("*/*"):
        file.unlink()
    with pytest.raises(InputError, match="must be a readable image"):
        data.train[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_a_worker_cannot_read_is_one_line(tmp_path: Path, workers: int) -> None:
    folder = _pictures(tmp_path / "data")
    data = load_data(str(folder), OPTIONS)
    for file in folder.glob("*/*"):
        file.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        list(batches(data.train, [[0, 1]], workers=workers))
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_workers_do_not_change_what_is_read(tmp_path: Path) -> None:
    data = load_data(str(_pictures(tmp_path / "data")), OPTIONS)
    set_epoch(data.train, 3)
    alone, helped = (
        [images for images, _ in batches(data.train, [[4, 0, 2], [1, 3]], workers=n)]
        for n in (0, 1)
    )
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


@pytest.mark.parametrize("layout", ["nothing", "images alone", "one class", "an empty class"])
def test_a_folder_without_classes_is_refused(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if layout == "images alone":
        Image.new("RGB", (8, 8)).save(folder / "a.png")
    if layout == "one class":
        _pictures(folder, classes=1)
    if layout == "an empty class":
        _pictures(folder)
        (folder / "class9").mkdir()
    with pytest.raises(InputError, match="one folder a class, two or more"):
        load_data(str(folder), OPTIONS)


def test_gray_images_for_a_network_that_takes_one_channel(tmp_path: Path) -> None:
    data = load_data(str(_pictures(tmp_path / "data")), DataOptions(input_shape=(1, 8, 12)))
    assert data.train[0][0].shape == (1, 8, 12)
    assert data.validation[0][0].shape == (1, 8, 12)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_as_bright_as_eight(tmp_path: Path, suffix: str) -> None:
    eight = np.linspace(0, 255, 256).astype(np.uint8).reshape(16, 16)
    for bits, pixels in (("8", eight), ("16", eight.astype(np.uint16) * 257)):
        for label in "ab":
            (tmp_path / bits / label).mkdir(parents=True)
            for number in range(2):
                Image.fromarray(pixels).save(tmp_path / bits / label / f"{number}.{suffix}")
    one, other = (load_data(str(tmp_path / bits), OPTIONS).validation[0][0] for bits in ("8", "16"))
    assert one.std() > 0.1
    torch.testing.assert_close(one, other)


def test_images_whose_white_nobody_knows_are_named(tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "data")
    some = min(folder.rglob("*.png"))
    pixels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(pixels).save(some.with_suffix(".tif"))
    with pytest.raises(InputError, match=r"8 or 16 bits, but 1 of .*\.tif"):
        load_data(str(folder), OPTIONS)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("pair", (20, 8, 4)),
        ("named", (15, 5, 4)),
        ("one_hot", (15, 5, 4)),
        ("whole", (20, 8, 7)),
        ("one", (15, 5, 4)),
        ("without_validation", (15, 5, 4)),
    ],
)
def test_a_factory_returns_data_in_one_of_several_forms(
    name: str, sizes: tuple[int, int, int]
) -> None:
    data = load_data(f"somedata:{name}", OPTIONS)
    assert isinstance(data, Data)
    assert (len(data.train), len(data.validation), data.classes) == sizes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("somedata:number", "returned int"),
        ("somedata:stream", "returned Stream"),
        ("somedata:failing", "RuntimeError: the disk is elsewhere"),
        ("somedata:empty", "must hold samples"),
        ("somedata:broken", "sample 0 fails with ZeroDivisionError: of my own"),
        ("somedata:nothing", "no such name"),
        ("nowhere:pair", "ModuleNotFoundError"),
        ("no/such/folder", "is none of them"),
        ("a:b:c", "is written"),
    ],
)
def test_data_that_does_not_work_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_data(name, OPTIONS)


def test_the_bundled_digits_are_data() -> None:
    data = load_data("hdap.examples.digits:digits")
    assert (data.classes, data.train[0][0].shape) == (10, (1, 8, 8))


@given(count=st.integers(2, 60), share=st.floats(0.001, 0.999), seed=st.integers(0, 5))
def test_a_split_loses_and_repeats_nothing(count: int, share: float, seed: int) -> None:
    samples = [(torch.tensor(float(i)), i) for i in range(count)]
    rest, held = split(samples, share, seed)
    found = [rest[i][1] for i in range(len(rest))] + [held[i][1] for i in range(len(held))]
    assert sorted(found) == list(range(count))
    assert len(rest) >= 1
    assert len(held) >= 1


def test_one_sample_cannot_be_split() -> None:
    with pytest.raises(InputError, match="two samples or more"):
        split([(torch.zeros(1), 0)], 0.5, 0)


def test_files_of_images_are_for_networks_of_images(tmp_path: Path) -> None:
    options = DataOptions.of_model("my.sounds:net@1x16000", (1, 16000), 0)
    with pytest.raises(InputError, match="channels x height x width, but this takes 1x16000"):
        load_data(str(_pictures(tmp_path / "data")), options)


def test_timm_knows_the_colours_of_its_models_at_any_input() -> None:
    own = DataOptions.of_model("inception_v3", (3, 299, 299), 0)
    at = DataOptions.of_model("inception_v3@3x96x96", (3, 96, 96), 0)
    assert (at.mean, at.deviation) == (own.mean, own.deviation)
    assert own.mean != DataOptions().mean
