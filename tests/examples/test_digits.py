import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hdap.examples.digits import CLASSES, digits, digits_rgb32, split_digits
from hdap.fleet_data.errors import InputError


def test_every_image_is_in_exactly_one_part() -> None:
    train, validation = digits()
    assert (len(train), len(validation)) == (1347, 450)
    shown = torch.cat([train.images, validation.images]).flatten(1).numpy()
    every = load_digits().data
    assert len(np.unique(shown, axis=0)) == len(np.unique(every, axis=0))


def test_an_item_is_a_float_image_and_an_int_label() -> None:
    image, label = digits()[1][0]
    assert image.dtype == torch.float32
    assert image.shape == (1, 8, 8)
    assert type(label) is int
    assert 0 <= label < len(CLASSES)


def test_parts_are_split_by_class_and_normalised_by_the_training_part() -> None:
    train, validation = digits()
    assert abs(float(train.images.mean())) < 1e-5
    assert abs(float(train.images.std()) - 1.0) < 1e-5
    for part in (train, validation):
        shares = torch.bincount(part.labels) / len(part)
        assert 0.09 < float(shares.min()) <= float(shares.max()) < 0.11


def test_a_seed_gives_one_split() -> None:
    first, again, other = (split_digits(seed=s)[0].labels for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_up_scaled_images_show_the_same_digits() -> None:
    small, large = digits()[1], digits_rgb32()[1]
    assert large.images.shape == (450, 3, 32, 32)
    assert torch.equal(large.images[:, 0], large.images[:, 2])
    shrunk = torch.nn.functional.avg_pool2d(large.images[:, :1], 4)
    kept = torch.corrcoef(torch.stack([shrunk.flatten(), small.images.flatten()]))[0, 1]
    assert float(kept) > 0.95


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="side >= 8"):
        split_digits(side=4)
    with pytest.raises(InputError, match="validation_share"):
        split_digits(validation_share=1.0)
