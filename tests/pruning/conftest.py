"""A small residual network of the user's own code, its plan and its checkpoint."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from hdap.models.loading import load_model
from hdap.models.tracing import trace
from hdap.pruning.checkpoint import save_checkpoint
from hdap.pruning.criteria import Evidence
from hdap.pruning.network import PrunedNetwork, prune_planned
from hdap.pruning.plan import PrunePlan, WeightsSource

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


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A block in which no file may grow beyond some kilobytes, pytest's own output neither."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def full() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full
