"""A pruned network in somebody else's trainer and back: `prune_like`, `save_pruned`."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import hdap
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import load_checkpoint
from hdap.networks.loading import load_model
from hdap.networks.manifest import read_manifest

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def live(tiny_model: str) -> nn.Module:
    """A dense network as a trainer builds it: by its own code, in training mode."""
    network = load_model(tiny_model).module.train()
    network.names = ("cat", "dog")  # type: ignore[assignment]  # what trainers keep on networks
    network.get_parameter("fc.bias").requires_grad_(False)
    return network


def _step(network: nn.Module) -> None:
    """What a trainer does, in short."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss: Tensor = nn.functional.cross_entropy(network(IMAGES), torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def test_a_live_module_gets_widths_and_tensors_and_keeps_the_rest(
    live: nn.Module, checkpoint: Path, tiny_model: str
) -> None:
    before = {name: value.clone() for name, value in live.state_dict().items()}
    made = hdap.prune_like(live, checkpoint)
    stored = hdap.load_pruned(checkpoint, model=tiny_model)
    assert made.training
    assert made.names == ("cat", "dog")
    assert not made.get_parameter("fc.bias").requires_grad
    assert made.get_parameter("fc.weight").requires_grad
    with torch.no_grad():
        assert torch.equal(made.eval()(IMAGES), stored(IMAGES))
    assert all(torch.equal(value, before[name]) for name, value in live.state_dict().items())
    assert live.training


def test_what_was_trained_elsewhere_comes_back(
    live: nn.Module, checkpoint: Path, tiny_model: str, tmp_path: Path
) -> None:
    made = hdap.prune_like(live, checkpoint)
    _step(made)
    out = tmp_path / "back"
    hdap.save_pruned(made, like=checkpoint, out=out)
    back = load_checkpoint(out, model=tiny_model)
    with torch.no_grad():
        assert torch.equal(back.module(IMAGES), made.eval()(IMAGES))
    first = read_manifest(checkpoint)
    assert back.manifest.channels == first.channels
    assert back.manifest.weights == f"{first.weights}, then trained elsewhere"
    again = hdap.prune_like(live, out)
    hdap.save_pruned(again, like=out, out=out, force=True)
    assert read_manifest(out).weights == back.manifest.weights


def test_a_module_of_another_architecture_is_refused(checkpoint: Path, live: nn.Module) -> None:
    live.layer4 = nn.Identity()
    live.fc = nn.Linear(32, 10)
    with pytest.raises(InputError, match="has architecture"):
        hdap.prune_like(live, checkpoint)


def test_a_checkpoint_that_was_changed_is_refused(checkpoint: Path, live: nn.Module) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="it was cut or changed"):
        hdap.prune_like(live, checkpoint)


def test_only_what_fits_comes_back(live: nn.Module, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "back"
    made = hdap.prune_like(live, checkpoint)
    for other, message in (
        (live, "of another shape or type"),
        (nn.Sequential(made), "missing"),
        (made.half(), "torch.float16 instead of"),
    ):
        with pytest.raises(InputError, match=message):
            hdap.save_pruned(other, like=checkpoint, out=out)
    made = hdap.prune_like(live, checkpoint)
    nn.init.constant_(made.get_parameter("fc.bias"), float("nan"))
    with pytest.raises(InputError, match=r"not finite in fc\.bias"):
        hdap.save_pruned(made, like=checkpoint, out=out)
    assert not out.exists()


def test_nothing_is_replaced_unasked(live: nn.Module, checkpoint: Path) -> None:
    made = hdap.prune_like(live, checkpoint)
    with pytest.raises(InputError, match="holds a checkpoint"):
        hdap.save_pruned(made, like=checkpoint, out=checkpoint)
