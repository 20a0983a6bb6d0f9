from pathlib import Path

import pytest
from typer.testing import CliRunner

from hdap.cli.app import app
from hdap.examples.digits import digits
from hdap.examples.networks import CLASSES
from hdap.fleet_data.costs import flops
from hdap.networks.checkpoint import load_pruned
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import load_seeded
from hdap.networks.tracing import trace
from hdap.requests.recipe import Recipe
from hdap.training.datasets import DataOptions, as_data
from hdap.training.training_loop import train


@pytest.fixture(params=["small_resnet", "small_mobilenet", "small_vgg"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_traces_to_eight_groups_with_room_to_prune(name: str) -> None:
    architecture = trace(f"hdap.examples.networks:{name}")
    assert len(architecture.groups) >= 8
    assert architecture.widths.min() >= 16


def test_is_pruned_by_the_command(name: str, tmp_path: Path) -> None:
    model = f"hdap.examples.networks:{name}"
    groups = trace(model).groups
    channels = ";".join(f"{group.name}={group.width // 2 - 1}" for group in groups)
    out = tmp_path / "pruned"
    arguments = ["prune", "--model", model, "--channels", channels, "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    network = load_pruned(out, model=model)
    assert network(digits()[1].images[:3]).shape == (3, CLASSES)


def test_learns_the_digits(name: str) -> None:
    data = as_data(digits(), "digits", DataOptions())
    recipe = Recipe(epochs=4, batch_size=64, optimizer="adamw", lr=0.005)
    network = load_seeded(f"hdap.examples.networks:{name}", WeightsSource()).module
    assert train(network, data, recipe, device="cpu").last.accuracy > 0.95


@pytest.mark.parametrize(("name", "expected"), [("resnet", 22.1e6), ("mobilenetv2", 6.2e6)])
def test_networks_for_fashion_are_traced(name: str, expected: float) -> None:
    architecture = trace(f"hdap.examples.networks:fashion_{name}")
    assert architecture.input_shape == (1, 28, 28)
    assert len(architecture.groups) >= 9
    assert flops(architecture, architecture.widths[None])[0] == pytest.approx(expected, rel=0.01)
