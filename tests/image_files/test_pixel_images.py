from pathlib import Path

import numpy as np
import pytest
import torch

from hdap.fleet_data.errors import InputError
from hdap.image_files.labelled_pixels import LabelledPixels
from hdap.image_files.pixel_images import ImageView, PixelImages
from hdap.training.batching import batches
from hdap.training.datasets import DataOptions, hold_out, set_epoch
from hdap.training.load_data import load_batches, load_data

PLAIN = ImageView((1, 8, 8), (0.0,), (1.0,))


def _pixels(count: int = 12, channels: int = 1, *, mirrored: bool = True) -> LabelledPixels:
    rng = np.random.default_rng(0)
    found = rng.integers(1, 256, (count, channels, 8, 8), dtype=np.uint8)
    return LabelledPixels(
        found, np.arange(count, dtype=np.uint8) % 3, ("a", "b", "c"), "these", mirrored
    )


def test_normalised_over_the_part() -> None:
    pixels = _pixels()
    images = torch.stack([image for image, _ in PixelImages(pixels, ImageView.of(pixels))])  # type: ignore[attr-defined]
    assert abs(float(images.mean())) < 1e-5
    assert abs(float(images.std(correction=0)) - 1.0) < 1e-4


def test_several_at_once_are_those_one_by_one() -> None:
    samples = PixelImages(_pixels(), PLAIN, augment=True)
    together = samples.__getitems__([3, 0, 7])
    for place, (image, label) in zip([3, 0, 7], together, strict=True):
        assert torch.equal(samples[place][0], image)
        assert samples[place][1] == label == place % 3


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_disturbed_image_is_the_image_shifted_and_perhaps_mirrored(mirrored: bool) -> None:
    pixels = _pixels(60, mirrored=mirrored)
    samples, whole = PixelImages(pixels, PLAIN, augment=True), PixelImages(pixels, PLAIN)
    seen = set()
    for place in range(60):
        shown, original = samples[place][0][0], whole[place][0][0]
        padded = torch.nn.functional.pad(original, (1, 1, 1, 1))
        ways = {
            (row, column, flip): view.flip(1) if flip else view
            for row in range(3)
            for column in range(3)
            for flip in (False, True)
            for view in [padded[row : row + 8, column : column + 8]]
        }
        seen |= {way for way, view in ways.items() if torch.equal(view, shown)}
    assert {row for row, _, _ in seen} == {column for _, column, _ in seen} == {0, 1, 2}
    assert {flip for *_, flip in seen} == ({False, True} if mirrored else {False})


def test_disturbance_follows_from_seed_and_epoch_and_readers_do_not_change_it() -> None:
    samples = PixelImages(_pixels(), PLAIN, augment=True, seed=4)
    first = samples[5][0]
    set_epoch(samples, 1)
    places = [list(range(12))]
    images, other = (next(batches(samples, places, workers=n))[0] for n in (0, 1))
    assert torch.equal(images, other)
    assert not torch.equal(images[5], first)
    set_epoch(samples, 0)
    assert torch.equal(samples[5][0], first)
    assert torch.equal(samples.plain()[5][0], PixelImages(_pixels(), PLAIN)[5][0])


def test_channels_and_size_are_those_of_the_network() -> None:
    one = PixelImages(_pixels(), ImageView((3, 16, 12), (0.5, 0.4, 0.3), (1.0, 1.0, 2.0)))[0][0]
    assert one.shape == (3, 16, 12)
    assert torch.allclose(one[0] + 0.5, 2.0 * one[2] + 0.3, atol=1e-6)
    gray = PixelImages(_pixels(channels=3), ImageView((1, 8, 8), (0.5, 0.4, 0.3), (1.0,)))[0][0]
    expected = _pixels(channels=3).pixels[0].mean(axis=0) / 255.0 - 0.4
    assert np.allclose(gray[0].numpy(), expected, atol=1e-6)
    with pytest.raises(InputError, match="3 channel"):
        PixelImages(_pixels(channels=3), ImageView((4, 8, 8), (0.5,), (1.0,)))


def test_data_by_the_path_of_idx_files_and_of_cifar(
    mnist: Path, cifar: dict[str, object], tmp_path: Path
) -> None:
    options = DataOptions(input_shape=(3, 16, 16))
    data = load_data(str(mnist), options)
    assert (len(data.train), len(data.validation), data.classes) == (30, 20, 10)
    assert data.train[0][0].shape == (3, 16, 16)
    rest, held = hold_out(data, 0.2, seed=0)
    assert (len(rest.train), len(held)) == (24, 6)
    folder = cifar["binary"](tmp_path / "cifar")  # type: ignore[operator]
    images, labels = next(iter(load_batches(str(folder), options)))
    assert (images.shape, labels.shape) == ((20, 3, 16, 16), (20,))
