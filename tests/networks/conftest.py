"""Networks on meta, each traced once; a small one of the user's own."""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.checkpoint import save_checkpoint
from hdap.networks.criteria import Evidence
from hdap.networks.following import follow_channels
from hdap.networks.loading import load_model
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import PrunedNetwork, prune_planned
from hdap.networks.tracing import trace

MODEL = "tinynets:tiny"
CODE = """
import timm
import torch

def tiny():
    sizes = dict(layers=(1, 1, 1, 1), channels=(16, 24, 32, 40))
    network = timm.create_model("resnet18", num_classes=10, **sizes)
    network.input_shape = (3, 32, 32)
    return network

def batches():
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        images = torch.randn(4, 3, 32, 32, generator=rng)
        yield images, torch.randint(0, 10, (4,), generator=rng)
"""


@pytest.fixture(scope="session", autouse=True)
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "tinynets.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    yield MODEL
    sys.path.remove(str(folder))
    sys.modules.pop("tinynets", None)


@pytest.fixture(scope="session")
def plan(tiny_model: str) -> PrunePlan:
    architecture = trace(tiny_model)
    return PrunePlan(architecture, np.maximum(architecture.widths // 2 - 3, 1))


@pytest.fixture(scope="session")
def pruned(plan: PrunePlan, tmp_path_factory: pytest.TempPathFactory) -> PrunedNetwork:
    """Pruned from weights in a file, whose batch norms have statistics that matter."""
    network = load_model(plan.architecture.model).module
    rng = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(value.shape, generator=rng) + 0.5 if value.dim() == 1 else value
        for name, value in network.state_dict().items()
    }
    file = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(state, file)
    return prune_planned(plan, WeightsSource(file), "l2", Evidence(seed=3))


@pytest.fixture
def checkpoint(pruned: PrunedNetwork, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "pruned", pruned.module, pruned.manifest)
    return tmp_path / "pruned"


@pytest.fixture(scope="session")
def network() -> Callable[[str], nn.Module]:
    return cache(lambda name: load_model(name, device="meta").module)


@pytest.fixture(scope="session")
def channel_graph(network: Callable[[str], nn.Module]) -> Callable[[str], ChannelGraph]:
    return cache(lambda name: follow_channels(network(name), (3, 224, 224)))


@pytest.fixture(scope="session")
def traced() -> Callable[[str], Architecture]:
    return cache(trace)
