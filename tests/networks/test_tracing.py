import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Channels
from hdap.fleet_data.costs import flops, format_flops, layer_macs, parameters
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.counting import count_flops, count_parameters
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from tests.networks.toy import Toy

DATA = Path(__file__).resolve().parents[1] / "data"
GROUPS = {
    "resnet50": 37,
    "mobilenetv1_100": 14,
    "mobilenetv2_100": 25,
    "vgg16": 15,
    "densenet121": 120,
    "regnety_008": 47,
    "efficientnet_b0": 40,
}
Network = Callable[[str], nn.Module]
Traced = Callable[[str], Architecture]


@pytest.mark.parametrize("model", GROUPS)
def test_formula_equals_what_torch_counts_on_the_pruned_network(
    model: str,
    network: Network,
    channel_graph: Callable[[str], ChannelGraph],
    traced: Traced,
) -> None:
    architecture, graph = traced(model), channel_graph(model)
    places = architecture.widths // architecture.multiples

    @settings(max_examples=2 if model == "densenet121" else 3, deadline=None, database=None)
    @given(seed=st.integers(0, 2**32 - 1), floor=st.sampled_from([0.0, 0.3, 0.9]))
    def check(seed: int, floor: float) -> None:
        low = np.maximum((floor * places).astype(np.int64), 1)
        rng = np.random.default_rng(seed)
        counts = (rng.integers(low, places + 1) * architecture.multiples)[None]
        pruned = prune(network(model), architecture, counts[0], graph=graph)
        counted = count_flops(pruned, architecture.input_shape)
        assert flops(architecture, counts)[0] == counted[""]
        assert parameters(architecture, counts)[0] == count_parameters(pruned)
        for layer, macs in zip(
            architecture.layers, layer_macs(architecture, counts)[0], strict=True
        ):
            assert layer.kind == "norm" or counted[layer.name] == macs

    check()


@pytest.mark.parametrize("model", GROUPS)
def test_number_of_width_groups(model: str, traced: Traced) -> None:
    assert len(traced(model).groups) == GROUPS[model]


@pytest.mark.parametrize("model", GROUPS)
def test_json_round_trip(model: str, traced: Traced) -> None:
    architecture = traced(model)
    assert Architecture.from_json(architecture.to_json()) == architecture


def test_resnet50_costs_what_the_literature_says(traced: Traced) -> None:
    architecture = traced("resnet50")
    dense = architecture.widths[None]
    assert format_flops(flops(architecture, dense)[0]) == "4.09 G"
    assert parameters(architecture, dense)[0] == 25_557_032


@pytest.mark.parametrize(
    ("model", "file"), [("resnet50", "resnet50"), ("mobilenetv1_100", "mobilenetv1")]
)
def test_groups_are_those_of_the_measured_fleet(model: str, file: str, traced: Traced) -> None:
    measured = json.loads((DATA / f"microfleet-{file}.groups.json").read_text())
    found = {g.name: {"width": g.width, "members": list(g.members)} for g in traced(model).groups}
    assert found == measured
    assert list(found) == list(measured)


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100", "mobilenetv2_100"])
def test_architecture_in_the_test_data_is_what_the_tracer_finds(
    model: str, traced: Traced, architecture: Callable[[str], Architecture]
) -> None:
    assert architecture(model) == traced(model)


def test_groups_and_layers_are_in_module_order(network: Network, traced: Traced) -> None:
    order = [name for name, _ in network("efficientnet_b0").named_modules()]
    architecture = traced("efficientnet_b0")
    for names in ([g.name for g in architecture.groups], [x.name for x in architecture.layers]):
        assert names == sorted(names, key=order.index)


def test_depthwise_squeeze_and_grouped_layers_are_described(traced: Traced) -> None:
    layers = {x.name: x for x in traced("efficientnet_b0").layers}
    depthwise = layers["blocks.1.0.conv_dw"]
    assert depthwise.depthwise
    assert depthwise.inputs == depthwise.outputs
    assert layers["blocks.1.0.se.conv_reduce"].inputs == depthwise.outputs
    regnet = traced("regnety_008")
    grouped = next(x for x in regnet.layers if x.groups > 1)
    assert regnet.groups[regnet.index[grouped.name]].multiple == grouped.groups


def test_concatenations_add_up(traced: Traced) -> None:
    layers = {x.name: x for x in traced("densenet121").layers}
    assert len(layers["features.denseblock1.denselayer3.conv1"].inputs.terms) == 3


class Flattened(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.PReLU(8)
        self.head = nn.Linear(8 * 4, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.act(self.second(self.first(image)))
        result: Tensor = self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
        return result


class Normed(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, 16)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.norm(x)
        return result


class Ghost(Toy):
    def __init__(self) -> None:
        super().__init__(32)
        self.cheap = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.BatchNorm2d(32)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.norm(torch.cat([x, self.cheap(x)], dim=1))
        return result


class SumOfParts(Toy):
    # `first` gives the channels of two later groups, side by side.
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 6, 1)
        self.right = nn.Conv2d(3, 10, 1)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return x + torch.cat([self.left(image), self.right(image)], dim=1)


def test_flattened_channels_count_once_for_each_place() -> None:
    architecture = trace(Flattened())
    layers = {x.name: x for x in architecture.layers}
    assert layers["head"].inputs == Channels(0, ((1, 4),))
    assert layers["act"].parameters_per_output == 1


def test_a_group_norm_makes_its_width_a_multiple() -> None:
    assert trace(Normed()).groups[0].multiple == 4


def test_depthwise_beside_its_input_doubles_the_channels() -> None:
    architecture = trace(Ghost())
    assert architecture.groups[0].members == ("first", "cheap")
    assert {x.name: x for x in architecture.layers}["norm"].outputs == Channels(0, ((0, 2),))


def test_a_sum_with_a_concatenation_is_the_sum_of_its_groups() -> None:
    architecture = trace(SumOfParts())
    assert [g.name for g in architecture.groups] == ["second", "left", "right"]
    assert architecture.layers[0].outputs == Channels(0, ((1, 1), (2, 1)))


class OneWide(Toy):
    def __init__(self) -> None:
        super().__init__(1)
        self.spread = nn.Conv2d(16, 32, 3, groups=16)
        self.narrow = nn.Conv2d(32, 1, 1)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        result: Tensor = self.narrow(self.spread(x))
        return result


def test_each_input_may_have_outputs_of_its_own() -> None:
    architecture = trace(OneWide())
    assert [(g.name, g.width, g.multiple) for g in architecture.groups] == [
        ("first", 16, 1),
        ("second", 8, 1),
    ]
    layers = {x.name: x for x in architecture.layers}
    assert layers["spread"].outputs == Channels(0, ((0, 2),))
    assert layers["spread"].depthwise
    assert layers["narrow"].outputs == Channels(1)


def test_a_width_with_one_possible_count_is_no_group() -> None:
    class Together(Toy):
        def between(self, x: Tensor, image: Tensor) -> Tensor:
            return x + x[:, :1]

    (kept,) = trace(Together()).kept
    assert (kept.layer, kept.channels) == ("first", 16)
    assert kept.why == "loses all of its channels or none"


def test_tracing_leaves_the_network_as_it_was() -> None:
    network = Normed().train()
    network.first.weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    trace(network)
    assert network.training
    assert not network.first.weight.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_tracing_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    trace(Ghost())
    assert capfd.readouterr() == ("", "")
