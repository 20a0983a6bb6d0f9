import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hdap.examples.networks import small_mobilenet, small_resnet, small_vgg
from hdap.fleet_data.errors import InputError
from hdap.networks.tracing import describe
from hdap.portfolio.constant_propagation import propagate_constants
from hdap.portfolio.densify import Densified, densify, zero_share

SHAPE = (1, 8, 8)


def _conv(inputs: int, outputs: int, size: int = 3, *, bias: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class _Flat(nn.Module):
    """A linear layer reads every pixel; another hidden one follows."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(1, 12), nn.MaxPool2d(2), _conv(12, 10))
        self.head = nn.Sequential(nn.Linear(160, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(x).flatten(1))
        return found


class _Joined(nn.Module):
    """Branches are concatenated, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = _conv(1, 12), _conv(12, 8), _conv(12, 9, 1)
        self.last = _conv(8 + 9 + 12, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.last(torch.cat([self.left(x), self.right(x), x], 1))
        found: Tensor = self.head(x.mean((2, 3)))
        return found


class _Gated(nn.Module):
    """Squeeze and excitation, and a convolution in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(1, 16)
        self.down, self.up = nn.Conv2d(16, 6, 1), nn.Conv2d(6, 16, 1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.last = _conv(16, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))
        found: Tensor = self.head(self.last(torch.relu(self.grouped(x))).mean((2, 3)))
        return found


class _Early(nn.Module):
    """Norms before convolutions, which have no bias and no norm of their own after them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.norm1, self.norm2, self.norm3 = (nn.BatchNorm2d(n) for n in (12, 10, 12))
        self.conv1 = nn.Conv2d(12, 10, 1, bias=False)
        self.conv2 = nn.Conv2d(10, 12, 3, padding=1, bias=False)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv2(torch.relu(self.norm2(self.conv1(torch.relu(self.norm1(x))))))
        found: Tensor = self.head(torch.relu(self.norm3(x)).mean((2, 3)))
        return found


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg": small_vgg,
    "resnet": small_resnet,
    "mobilenet": small_mobilenet,
    "flat": _Flat,
    "joined": _Joined,
    "gated": _Gated,
    "early": _Early,
}


def _sparse(make: Callable[[], nn.Module], seed: int, filters: float, inputs: float) -> nn.Module:
    """A network in float64 with random zero weights, zero filters, unread inputs and norms."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=rng, dtype=torch.float64)

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = make().double().eval()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                size = len(layer.running_mean)
                layer.running_mean.copy_(draw(size) - 0.5)
                layer.running_var.copy_(draw(size) + 0.5)
                layer.weight.copy_((draw(size) - 0.3) * (draw(size) > 0.1))
                layer.bias.copy_(draw(size) - 0.4)
            elif isinstance(layer, nn.Conv2d | nn.Linear):
                weight = layer.weight
                weight *= draw(*weight.shape) > 0.4
                if isinstance(layer, nn.Conv2d):
                    weight[draw(len(weight)) < filters] = 0.0
                if weight.shape[1] > 1:
                    weight[:, draw(weight.shape[1]) < inputs] = 0.0
    return network


def _dense(network: nn.Module, step: int = 1) -> Densified:
    return densify(network, describe(network, "test", SHAPE), step=step)


def _images(count: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, *SHAPE, generator=rng, dtype=torch.float64)


def _agree(network: nn.Module, found: Densified) -> None:
    images = _images()
    with torch.no_grad():
        torch.testing.assert_close(found.module(images), network(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    filters=st.floats(0.0, 0.7),
    inputs=st.floats(0.0, 0.5),
    step=st.sampled_from([1, 1, 4]),
)
def test_a_dense_network_computes_what_its_sparse_one_does(
    name: str, seed: int, filters: float, inputs: float, step: int
) -> None:
    network = _sparse(NETWORKS[name], seed, filters, inputs)
    found = _dense(network, step)
    _agree(network, found)
    for group, count in zip(describe(network, "t", SHAPE).groups, found.counts, strict=True):
        assert count % step == 0 or count == group.width
    assert found.removed == sum(g.width for g in describe(network, "t", SHAPE).groups) - sum(
        found.counts
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_zero_filters_go_and_the_network_given_stays_as_it_is(name: str) -> None:
    network = _sparse(NETWORKS[name], 3, 0.5, 0.2)
    before = copy.deepcopy(network.state_dict())
    found = _dense(network)
    assert found.removed > 0
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    again = describe(found.module, "test", SHAPE)
    assert [g.width for g in again.groups] == found.counts.tolist()


def test_nothing_goes_from_a_network_without_zeros() -> None:
    assert _dense(small_resnet().double().eval()).removed == 0


def test_a_scale_of_zero_makes_a_constant_too() -> None:
    network = small_vgg().double().eval()
    with torch.no_grad():
        network.get_parameter("features.0.1.weight")[:5] = 0.0
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("features.0.0").out_channels == 32 - 5


def test_channels_behind_a_filter_that_went_go_too() -> None:
    network = small_vgg().double().eval()
    with torch.no_grad():
        # channels 0-7 are read by filters 0-3 alone, whose own output nobody reads
        network.get_parameter("features.1.0.weight")[4:, :8] = 0.0
        network.get_parameter("features.3.0.weight")[:, :4] = 0.0
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("features.0.0").out_channels == 32 - 8
    assert found.module.get_submodule("features.1.0").out_channels == 32 - 4


def test_channels_that_are_constant_become_one_where_padding_makes_borders() -> None:
    network = small_vgg().double().eval()
    with torch.no_grad():
        network.get_parameter("features.0.0.weight")[:10] = 0.0
        network.get_parameter("features.0.1.bias")[:10] = torch.linspace(0.1, 1.0, 10)
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("features.0.0").out_channels == 32 - 9
    assert found.kept_constant == (
        "`features.0.0` keeps 1 constant: `features.1.0` pads them with zeros",
    )


def test_constants_that_a_relu_stops_go_without_a_trace() -> None:
    network = small_vgg().double().eval()
    with torch.no_grad():
        network.get_parameter("features.0.0.weight")[:10] = 0.0
        network.get_parameter("features.0.1.bias")[:10] = -1.0
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("features.0.0").out_channels == 32 - 10
    assert found.kept_constant == ()


def test_a_trunk_loses_only_channels_that_all_who_write_it_leave_alone() -> None:
    network = small_resnet().double().eval()
    writers = ("features.0.0", "features.1.conv2", "features.2.conv2")
    with torch.no_grad():
        for place, name in enumerate(writers):
            network.get_parameter(f"{name}.weight")[: 12 - 4 * place] = 0.0
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("features.0.0").out_channels == 32 - 4


def test_a_layer_that_is_all_zero_keeps_the_least_it_may_have() -> None:
    network = small_vgg().double().eval()
    with torch.no_grad():
        network.get_parameter("features.4.0.weight").zero_()
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("features.4.0").out_channels == 1


def test_groups_of_a_convolution_stay_alike() -> None:
    network = _Gated().double().eval()
    with torch.no_grad():
        network.get_parameter("stem.0.weight")[[0, 4, 8, 12, 13]] = 0.0
        network.get_parameter("stem.1.bias")[[0, 4, 8, 12, 13]] = -1.0
    found = _dense(network)
    _agree(network, found)
    assert found.module.get_submodule("stem.0").out_channels == 12
    assert found.module.get_submodule("grouped").groups == 4


def test_a_norm_over_several_channels_keeps_all_of_them() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(384, 3),
    )
    network = network.double().eval()
    with torch.no_grad():
        network.get_parameter("3.weight")[:, :4] = 0.0  # unread, but their mean counts
    found = _dense(network)
    _agree(network, found)
    assert found.counts.tolist() == [8, 6]


class _Mixed(nn.Module):
    """Each channel is judged by the mean of all."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        found: Tensor = self.head(self.second(x - x.mean(1, keepdim=True)).mean((2, 3)))
        return found


def test_what_takes_channels_together_keeps_them() -> None:
    network = _Mixed().double().eval()
    with torch.no_grad():
        network.get_parameter("second.0.weight")[:, :4] = 0.0
    dense = _dense(network)
    assert dense.module.get_parameter("first.0.weight").shape[0] == 8
    image = _images().double()
    assert torch.allclose(dense.module(image), network(image))


def test_numbers_that_are_not_finite_are_refused() -> None:
    network = small_vgg().eval()
    with torch.no_grad():
        network.get_parameter("features.1.0.weight")[0, 0, 0, 0] = torch.inf
    with pytest.raises(InputError, match="must give finite numbers"):
        _dense(network)


def test_what_is_known_holds_for_every_image() -> None:
    network = _sparse(_Joined, 5, 0.5, 0.2)
    given = propagate_constants(network, SHAPE).given["last.0"]
    seen: list[Tensor] = []
    network.get_submodule("last.0").register_forward_pre_hook(
        lambda layer, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        network(_images())
    known = ~given.values.isnan()
    assert 0 < int(known.sum()) < len(known)
    expected = given.values[known].view(1, -1, 1, 1).expand_as(seen[0][:, known])
    torch.testing.assert_close(seen[0][:, known], expected)


def test_the_mode_of_every_part_is_left_alone() -> None:
    network = _sparse(small_vgg, 2, 0.4, 0.0)
    network.get_submodule("features.0.1").train()
    modes = {name: module.training for name, module in network.named_modules()}
    assert not _dense(network).module.training
    assert {name: module.training for name, module in network.named_modules()} == modes


def test_the_share_of_zeros_counts_convolutions_and_linear_layers() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        network.get_parameter("0.weight").zero_()
        network.get_parameter("3.weight").fill_(1.0)
    assert zero_share(network) == 4 / 16
