"""Small networks with one oddity each, as people have them: accepted, and pruned exactly."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.networks.equivalence import pruning_error
from hdap.networks.following import follow_channels
from hdap.networks.tracing import trace
from tests.networks.toy import Toy, assert_comes_back

FILES = ("branches", "convolutions", "factors", "outputs", "parts")
CASES: dict[str, type[nn.Module]] = {
    name: case
    for file in FILES
    for module in [importlib.import_module(f"benchmarks.networks.cases.{file}")]
    for name, case in inspect.getmembers(module, inspect.isclass)
    if issubclass(case, nn.Module) and hasattr(case, "input_shape") and name != "Base"
}
KEPT = {
    "C2fSplit": "is a size written in its code",
    "PartialConv": "only a part goes this way",
    "AttnNet": "was expecting embedding dimension",
    "ECA": "is convolved over channels",
    "L2Mid": "taken together by `linalg_vector_norm`",
    "SoftmaxMid": "goes through `_softmax`",
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case_is_pruned_exactly(name: str) -> None:
    network = CASES[name]().double().eval()
    architecture = trace(network)
    shape = architecture.input_shape
    graph = follow_channels(network, shape, architecture.index)
    rng = np.random.default_rng(0)
    images = torch.randn(1, *shape, dtype=torch.float64)
    for _ in range(2):
        gone = np.flatnonzero(rng.random(len(graph.group_of)) < 0.4)
        assert pruning_error(network, graph, gone, images) <= 1e-9
    if name in KEPT:
        assert any(KEPT[name] in kept.why for kept in architecture.kept)


class Scaled(Toy):
    """Channels weighed by numbers that its code makes anew, so they are in no file of weights."""

    def __init__(self) -> None:
        super().__init__()
        gain = torch.linspace(0.1, 2, 16).view(1, 16, 1, 1)
        self.register_buffer("gain", gain, persistent=False)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return x * self.get_buffer("gain")


MODELS = [f"{CASES[name].__module__}:{name}" for name in sorted(CASES)] + [f"{__name__}:Scaled"]


@pytest.mark.parametrize("model", MODELS)
def test_a_case_comes_back_from_its_checkpoint(model: str, tmp_path: Path) -> None:
    assert_comes_back(model, tmp_path)
