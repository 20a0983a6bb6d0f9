"""Networks with layers that few have: pruned exactly, and back from their checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as masks
from torchvision.ops import DeformConv2d

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.equivalence import pruning_error
from hdap.networks.following import follow_channels
from hdap.networks.tracing import trace
from tests.networks.toy import Toy, assert_comes_back


class Deformed(Toy):
    """Each half of the inputs has offsets of its own, as in EDVR."""

    def __init__(self) -> None:
        super().__init__(given=24)
        self.offsets = nn.Conv2d(16, 2 * 2 * 9, 3, padding=1)
        self.deformed = DeformConv2d(16, 24, 3, padding=1)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        made: Tensor = self.deformed(x, self.offsets(x))
        return made


class WeightNormed(Toy):
    """The weight norm of before parametrizations: its weight is made of others, and kept."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.weight_norm(self.first)


class Masked(Toy):
    """Pruned by torch's own masks."""

    def __init__(self) -> None:
        super().__init__()
        masks.l1_unstructured(self.second, "weight", 0.5)  # type: ignore[no-untyped-call]


class Fourier(Toy):
    """Complex weights, the first of all."""

    def __init__(self) -> None:
        super().__init__()
        self.spectral = nn.Parameter(torch.randn(3, 16, 9, dtype=torch.cfloat))

    def forward(self, image: Tensor) -> Tensor:
        seen = torch.fft.rfft2(image) * self.spectral
        back: Tensor = super().forward(torch.fft.irfft2(seen))
        return back


class WithState(Toy):
    """Keeps something else than tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: object) -> None:
        pass


NETWORKS = (Deformed, WeightNormed, Masked, Fourier)


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_pruned_exactly(kind: type[Toy]) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    architecture = trace(network)
    assert "first" in architecture.index
    graph = follow_channels(network, architecture.input_shape, architecture.index)
    rng, images = np.random.default_rng(0), torch.randn(2, *architecture.input_shape)
    for _ in range(4):
        gone = np.flatnonzero(rng.random(len(graph.group_of)) < 0.5)
        assert pruning_error(network, graph, gone, images) < 1e-4


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_comes_back_from_its_checkpoint(kind: type[Toy], tmp_path: Path) -> None:
    assert_comes_back(f"{__name__}:{kind.__name__}", tmp_path)


def test_halves_with_offsets_of_their_own_lose_the_same_places() -> None:
    architecture = trace(Deformed())
    assert architecture.groups[architecture.index["first"]].multiple == 2


def test_a_state_that_no_checkpoint_can_keep_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="`_extra_state` is of dict"):
        trace(WithState())
