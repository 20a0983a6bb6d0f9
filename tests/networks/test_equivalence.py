"""The self-check against a zoo: what mixes channels is refused, what leaves them alone is not."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.reliability.layer_zoo import INPUT_SHAPE, alone, mixing
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace

MIXING, ALONE = mixing(), alone()


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_channels_is_refused_by_the_layers_name(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"`(first|second|between[\w.]*)`"):
        trace(MIXING[name], input_shape=INPUT_SHAPE)


@pytest.mark.parametrize("name", ALONE)
def test_what_leaves_channels_alone_is_pruned_exactly(name: str) -> None:
    network = ALONE[name].double().eval()
    architecture = trace(network, input_shape=INPUT_SHAPE)
    first, *others = architecture.groups
    assert first.name == "first"
    places = np.arange(first.width).reshape(first.multiple, -1)
    left = places.shape[1] // 2
    counts = [left * first.multiple, *(group.width for group in others)]
    image = torch.randn(2, *INPUT_SHAPE, dtype=torch.float64)
    pruned = prune(network, architecture, counts)(image)
    if isinstance(network.get_submodule("between"), nn.GroupNorm):
        return  # a mean over channels is another one when some are gone, and is meant to be
    with torch.no_grad():
        for layer in architecture.layers:
            takes = (0, 1) in layer.inputs.terms
            if takes and layer.has_matrix and not layer.depthwise:
                weight = network.get_submodule(layer.name).get_parameter("weight")
                # without scores the first of each block stay; a grouped one sees its block's
                weight[:, places[:, left:].ravel() if layer.groups == 1 else places[0, left:]] = 0.0
        assert torch.allclose(pruned, network(image), rtol=1e-9, atol=1e-12)


def test_a_shift_against_itself_ends() -> None:
    shifted = MIXING["differences"]
    with pytest.raises(UnsupportedModelError, match="depend on themselves"):
        trace(shifted, input_shape=INPUT_SHAPE)


def test_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trace(ALONE["nothing"], input_shape=INPUT_SHAPE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
