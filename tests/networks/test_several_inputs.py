"""Networks of several inputs, by the names of `forward`'s arguments."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.elastic.elastic_model import ElasticModel
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.checkpoint import load_pruned, save_checkpoint
from hdap.networks.counting import check_pruned, count_flops
from hdap.networks.criteria import Evidence
from hdap.networks.export_formats.base import ExportOptions
from hdap.networks.export_formats.registry import FORMATS
from hdap.networks.exporting import export
from hdap.networks.forward_pass import call, random_images
from hdap.networks.loading import load_model
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import prune_planned
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.training.datasets import DataOptions
from hdap.training.load_data import load_data

SHAPES = {"image": (3, 16, 16), "speed": (4,)}


class Steering(nn.Module):
    """An image and what the vehicle says of itself; no argument stands where its name would."""

    input_shape = {"speed": [4], "image": [3, 16, 16]}  # noqa: RUF012  # as people write it

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
        self.inner = nn.Conv2d(16, 24, 3)
        self.own = nn.Linear(4, 24)
        self.joined = nn.Linear(48, 12)
        self.out = nn.Linear(12, 2)

    def forward(self, image: Tensor, speed: Tensor) -> Tensor:
        seen = self.inner(self.trunk(image)).relu().mean((2, 3))
        joined = torch.cat([seen, self.own(speed).relu()], 1)
        result: Tensor = self.out(self.joined(joined).relu())
        return result


class Siamese(nn.Module):
    """Two images through one trunk."""

    input_shape = {"left": (1, 16, 16), "right": (1, 16, 16)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        one, other = self.trunk(left), self.trunk(right)
        return {"apart": (one - other).square().sum(1)}


@pytest.fixture(scope="module")
def steering() -> Architecture:
    return trace(Steering())


@pytest.fixture
def halved(steering: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return prune(Steering(), steering, steering.widths // 2).eval()


def test_all_inputs_are_traced_and_followed(steering: Architecture) -> None:
    assert steering.input_shape == SHAPES
    assert {g.name for g in steering.groups} == {"trunk.0", "inner", "own", "joined"}
    assert Architecture.from_json(steering.to_json()) == steering
    assert count_flops(Steering(), SHAPES)["own"] == 4 * 24


def test_what_was_pruned_costs_what_was_promised(steering: Architecture, halved: nn.Module) -> None:
    check_pruned(Steering().eval(), halved, steering, steering.widths // 2)


def test_a_trunk_that_two_inputs_share_has_one_width() -> None:
    architecture = trace(Siamese())
    counts = architecture.widths // 2
    check_pruned(Siamese(), prune(Siamese(), architecture, counts), architecture, counts)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", ["onnx", "pt2", "torchscript"])
def test_files_have_the_inputs_by_name(
    kind: str, dynamic: bool, halved: nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / "network"
    export(halved, SHAPES, kind, file, ExportOptions(dynamic_batch=dynamic))
    images = random_images(halved, SHAPES, 1, seed=3)
    got = call(FORMATS[kind].open(file), images)
    with torch.no_grad():
        assert torch.allclose(call(halved, images), got, atol=1e-5)


def test_a_program_of_several_inputs_is_a_model(halved: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "network.pt2"
    export(halved, SHAPES, "pt2", file, ExportOptions(dynamic_batch=True))
    loaded = load_model(str(file))
    assert loaded.input_shape == SHAPES
    assert len(trace(loaded.module, input_shape=loaded.input_shape).groups) == 4


def test_a_program_may_have_been_exported_by_place(tmp_path: Path) -> None:
    network, file = Steering().eval(), tmp_path / "network.pt2"
    example = (torch.zeros(1, 3, 16, 16), torch.zeros(1, 4))
    torch.export.save(torch.export.export(network, example), file)
    loaded = load_model(str(file))
    images = random_images(network, SHAPES, 3, seed=0)
    assert loaded.input_shape == SHAPES
    with torch.no_grad():
        assert torch.allclose(call(loaded.module, images), call(network, images), atol=1e-6)


def test_a_checkpoint_goes_out_and_comes_back(steering: Architecture, tmp_path: Path) -> None:
    name = f"{__name__}:Steering"
    made = prune_planned(
        PrunePlan(trace(name), steering.widths // 2), WeightsSource(), "l1", Evidence()
    )
    save_checkpoint(tmp_path / "half", made.module, made.manifest)
    images = random_images(made.module, SHAPES, 2, seed=0)
    with torch.no_grad():
        back = load_pruned(tmp_path / "half", model=name)
        assert torch.equal(call(back, images), call(made.module, images))


def test_another_input_is_another_name() -> None:
    loaded = load_model(f"{__name__}:Steering@image=3x32x24,speed=4")
    assert loaded.input_shape == {"image": (3, 32, 24), "speed": (4,)}
    assert trace(loaded.module, input_shape=loaded.input_shape).groups


@pytest.mark.parametrize(
    "shape", [{"image": (3, 16, 16)}, {"image": (3, 16, 16), "pace": (4,)}, (3, 16, 16)]
)
def test_inputs_that_are_not_the_networks_are_refused(shape: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UnsupportedModelError, match="must run on inputs of"):
        trace(Steering(), input_shape=shape)


def _elastic(architecture: Architecture) -> object:
    return ElasticModel(Steering(), architecture, np.stack([architecture.widths]))


def _classes(architecture: Architecture) -> object:
    return load_data("images", DataOptions(input_shape=architecture.input_shape))


@pytest.mark.parametrize("use", [_elastic, _classes])
def test_what_takes_one_input_says_so(
    use: Callable[[Architecture], object], steering: Architecture
) -> None:
    with pytest.raises((UnsupportedModelError, InputError), match="image=3x16x16,speed=4") as told:
        use(steering)
    assert len(str(told.value).splitlines()) == 1
