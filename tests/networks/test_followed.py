import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError, NotFoundError, UnsupportedModelError
from hdap.networks.equivalence import pruning_error
from hdap.networks.following import follow_channels
from hdap.networks.tracing import trace
from tests.networks.toy import Toy


class Gated(Toy):
    def __init__(self) -> None:
        super().__init__(8)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        return left * right


class Sliced(Toy):
    def __init__(self) -> None:
        super().__init__(8)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return x[:, 4:12]


class PixelShuffled(Toy):
    def __init__(self) -> None:
        super().__init__(4)
        self.up = nn.PixelShuffle(2)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.up(x)
        return result


class ChannelShuffled(Toy):
    def between(self, x: Tensor, image: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class WithImage(Toy):
    # the image's channels stay: every other one is at another place
    def __init__(self) -> None:
        super().__init__(19)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return torch.cat([image, x], dim=1)


class Scaled(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(16, 1, 1))

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return x * self.gamma


class Twice(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(16, 16, 1)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.again(self.again(x))
        return result


class Transposed(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(16, 16, 2)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.up(x)
        return result


class GroupsOverTwo(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 16, 1)
        self.grouped = nn.Conv2d(32, 16, 1, groups=4)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.grouped(torch.cat([x, self.other(image)], dim=1))
        return result


class Unfollowed(Toy):
    # a split whose parts go different ways
    def __init__(self) -> None:
        super().__init__()
        self.block = Parted()

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.block(x)
        return result


class Parted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 1)
        self.part = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.conv(x).chunk(2, dim=1)
        return torch.cat([self.part(left), right], dim=1)


class SpatialGate(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(1, 1, 3, padding=1)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        gate: Tensor = self.gate(x.mean(1, keepdim=True))
        return x * gate


FOLLOWED = (
    *(Gated, Sliced, PixelShuffled, ChannelShuffled, WithImage),
    *(Scaled, Twice, Transposed, GroupsOverTwo, Unfollowed),
)


@pytest.mark.parametrize("toy", FOLLOWED)
def test_what_was_refused_once_is_followed(toy: type[Toy]) -> None:
    network = toy().double().eval()
    architecture = trace(network)
    assert {"first", "second"} & set(architecture.index)
    graph = follow_channels(network, network.input_shape, architecture.index)
    rng = np.random.default_rng(0)
    images = torch.randn(2, *network.input_shape, dtype=torch.float64)
    gone = np.flatnonzero(rng.random(len(graph.group_of)) < 0.4)
    assert len(gone)
    assert pruning_error(network, graph, gone, images) <= 1e-9


def test_a_gate_over_all_channels_keeps_them() -> None:
    architecture = trace(SpatialGate())
    assert [g.name for g in architecture.groups] == ["second"]
    assert [(k.layer, k.channels) for k in architecture.kept] == [("first", 16)]
    assert "taken together by `mean`" in architecture.kept[0].why


def test_two_outputs_are_two_outputs() -> None:
    class Pair(Toy):
        def forward(self, image: Tensor) -> Tensor:
            return (super().forward(image), image)  # type: ignore[return-value]

    assert [g.name for g in trace(Pair()).groups] == ["first", "second"]


def test_a_network_that_does_not_take_the_shape_is_refused_by_the_layers_name() -> None:
    with pytest.raises(UnsupportedModelError, match="`first` failed"):
        trace(Toy(), input_shape=(4, 16, 16))


def test_a_network_without_widths_to_choose_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="nothing is left to prune"):
        trace(nn.Sequential(nn.Flatten(1), nn.Linear(12, 4)), input_shape=(3, 2, 2))


def test_a_shape_that_is_none_is_refused() -> None:
    network = Toy()
    network.input_shape = 16  # type: ignore[assignment]
    with pytest.raises(InputError, match="`input_shape` of `Toy`"):
        trace(network)


def test_unknown_name_is_refused() -> None:
    with pytest.raises(NotFoundError, match="`resnet50`"):
        trace("resnet5O")


class Recurrent(nn.Module):
    """Text read off an image: columns of features, one after the other, into an LSTM."""

    input_shape = (3, 8, 24)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 24, (8, 3), padding=(0, 1))
        self.reader = nn.LSTM(24, 10, batch_first=True)
        self.head = nn.Linear(10, 5)

    def forward(self, image: Tensor) -> Tensor:
        columns = self.second(self.first(image).relu())[:, :, 0].transpose(1, 2)
        result: Tensor = self.head(self.reader(columns)[0])
        return result


def test_what_enters_a_recurrence_stays_and_the_rest_is_pruned() -> None:
    architecture = trace(Recurrent())
    assert [g.name for g in architecture.groups] == ["first"]
    assert [(k.layer, k.why) for k in architecture.kept] == [
        ("second", "enters `reader` (LSTM), made for one width")
    ]
