"""Networks that the same tensors fill and that answer differently."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from hdap.examples.efficientnet import weights_file
from hdap.fleet_data.errors import InputError
from hdap.networks.loading import load_model
from hdap.networks.same_tensors import require_same_outputs, timm_twin

SHAPE = (3, 8, 8)


def _network(padding: int = 1, eps: float = 1e-5) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=padding),
        nn.BatchNorm2d(4, eps=eps),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return made


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = _network()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(images), images


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("efficientnet_lite0", "tf_efficientnet_lite0"),
        ("tf_mobilenetv3_small_100.in1k", "mobilenetv3_small_100"),
        ("resnet18", None),
        ("package.module:tf_net", None),
    ],
)
def test_a_network_of_timm_has_the_twin_of_other_padding(name: str, twin: str | None) -> None:
    known = name.partition(".")[0] if ":" not in name else "resnet18"
    with torch.device("meta"):
        module = timm.create_model(known)
    assert timm_twin(name, module) == twin


def test_a_twin_with_another_head_is_none() -> None:
    with torch.device("meta"):
        module = timm.create_model("efficientnet_lite0", num_classes=7)
    assert timm_twin("efficientnet_lite0", module) is None


def test_the_same_network_gives_the_same_outputs_in_whatever_mode() -> None:
    network = _network().train()
    assert require_same_outputs("mine", network, _network().eval(), SHAPE) < 1e-6
    assert network.training


OTHERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "padding": (lambda: _network(padding=0), "another network with the same tensors"),
    "eps": (lambda: _network(eps=1e-2), "another network with the same tensors"),
    "two outputs": (_Two, r"each give one tensor.*\(2, 4\) and tuple"),
    "another size": (
        lambda: nn.Sequential(_network(), nn.Linear(4, 2)),
        r"\(2, 4\) and \(2, 2\)",
    ),
    "no numbers": (
        lambda: _network(eps=float("nan")),
        "differ by nan",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_network_of_these_tensors_is_refused(what: str) -> None:
    make, why = OTHERS[what]
    with pytest.raises(InputError, match=why):
        require_same_outputs("mine", _network(), make(), SHAPE)


def test_a_model_filled_by_order_names_its_twin(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    torch.save({f"net_{name}": value for name, value in state.items()}, tmp_path / "w.pt")
    assert load_model("mobilenetv3_small_050", weights=tmp_path / "w.pt").told.endswith("shape")
    state = timm.create_model("mobilenetv3_small_075").state_dict()
    torch.save({f"net_{name}": value for name, value in state.items()}, tmp_path / "w.pt")
    told = load_model("mobilenetv3_small_075", weights=tmp_path / "w.pt").told
    assert "timm's tf_mobilenetv3_small_075 has the same tensors" in told
    assert "--compare package.module:factory" in told
    assert caplog.messages[-1] == f"w.pt: {told}"
    torch.save(state, tmp_path / "w.pt")
    assert load_model("mobilenetv3_small_075", weights=tmp_path / "w.pt").told == ""


def test_published_weights_fill_both_twins_and_outputs_tell_which_is_right() -> None:
    """By names of another port of TensorFlow's network; `lite0` is known to know ImageNet."""
    original = load_model("hdap.examples.efficientnet:lite0").module
    right = load_model("tf_efficientnet_lite0", weights=weights_file(0))
    wrong = load_model("efficientnet_lite0", weights=weights_file(0))
    assert "names differ; 247 tensors matched by order and shape" in right.told
    assert "timm's tf_efficientnet_lite0 has the same tensors" in wrong.told
    assert require_same_outputs("right", right.module, original, (3, 64, 64)) == 0
    with pytest.raises(InputError, match=r"differ by 0\..*try tf_efficientnet_lite0"):
        require_same_outputs("efficientnet_lite0", wrong.module, original, (3, 64, 64))


def test_weights_of_torchvision_by_other_names_give_its_outputs_in_timm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v2()
    for name, buffer in theirs.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 1.5)
    torch.save({"model": theirs.state_dict()}, tmp_path / "w.pt")
    mine = load_model("mobilenetv2_100", weights=tmp_path / "w.pt")
    assert mine.told == "names differ; 262 tensors matched by order and shape"
    assert require_same_outputs("mobilenetv2_100", mine.module, theirs, (3, 64, 64)) < 1e-6
