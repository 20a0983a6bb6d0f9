"""Small networks with one oddity each, as people have them: accepted, and pruned exactly."""

import importlib
import inspect

import numpy as np
import pytest
import torch
from torch import nn

from hdap.networks.equivalence import pruning_error
from hdap.networks.following import follow_channels
from hdap.networks.tracing import trace

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
