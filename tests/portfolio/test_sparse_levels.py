from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import Checkpoint
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest, load_seeded
from hdap.networks.tracing import trace
from hdap.portfolio.sparse_checkpoint import SparseLevel
from hdap.portfolio.sparse_levels import SlimOrder, from_sparse
from hdap.training.datasets import Data

MODEL = "hdap.examples.networks:small_vgg"


@pytest.fixture(scope="module")
def level() -> SparseLevel:
    """A network whose first layer has lost 8 of its filters."""
    network = load_seeded(MODEL, WeightsSource()).module
    convolution, norm = network.get_submodule("features.0.0"), network.get_submodule("features.0.1")
    with torch.no_grad():
        for name in ("weight", "bias"):
            norm.get_parameter(name)[:8] = 0.0
        convolution.get_parameter("weight")[:8] = 0.0
    manifest = dense_manifest(trace(MODEL), network, WeightsSource())
    return SparseLevel("level-01", Checkpoint(network, manifest), 0.9, 0.25, 1.5)


@pytest.fixture(scope="module")
def data(level: SparseLevel) -> Data:
    """Images that the sparse network gets right by definition."""
    images = 3 * torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        samples = TensorDataset(images, level.checkpoint.module(images).argmax(1))
    return Data(samples, samples, 10)


def test_zero_filters_go_and_where_it_is_from_is_kept(level: SparseLevel) -> None:
    said: list[str] = []
    (found,) = from_sparse(Path("levels"), [level], None, said.append).networks
    assert found.counts[0] == 24
    assert found.provenance["removed_channels"] == 8
    assert (found.provenance["level"], found.accuracy) == ("level-01", 0.25)
    assert said[0].startswith("level-01: 90.0% of the weights, 8 channels of 640 removed")


@pytest.mark.parametrize("asked", ["50%", "2M"])
def test_a_level_is_slimmed_to_a_share_of_itself_or_to_flops(
    level: SparseLevel, data: Data, asked: str
) -> None:
    made = from_sparse(Path("levels"), [level], SlimOrder(asked, data), lambda _: None)
    dense, slim = made.networks
    before, after = flops(made.architecture, np.stack([dense.counts, slim.counts])).tolist()
    goal = before / 2 if asked == "50%" else 2_000_000
    assert 0.95 * goal <= after <= goal
    assert (slim.counts <= dense.counts).all()
    assert (slim.label, slim.provenance["slim"]) == ("level-01 slim", asked)


def test_a_level_is_slimmed_as_far_as_its_accuracy_stays(level: SparseLevel, data: Data) -> None:
    made = from_sparse(Path("levels"), [level], SlimOrder("accuracy:0.5", data), lambda _: None)
    _, slim = made.networks
    assert slim.accuracy >= 0.5


def test_a_level_that_has_fewer_flops_already_stays(level: SparseLevel, data: Data) -> None:
    said: list[str] = []
    made = from_sparse(Path("levels"), [level], SlimOrder("1G", data), said.append)
    assert [one.label for one in made.networks] == ["level-01"]
    assert said[-1] == "level-01 stays as it is: no channel can go"


@pytest.mark.parametrize("asked", ["thin", "accuracy:", "-5%"])
def test_what_is_no_slimming_is_refused(level: SparseLevel, data: Data, asked: str) -> None:
    with pytest.raises(InputError, match="must be a share"):
        from_sparse(Path("levels"), [level], SlimOrder(asked, data), lambda _: None)
