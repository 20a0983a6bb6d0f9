"""Every registered kind of layer, between two convolutions: traced, counted, pruned and sliced."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.elastic.elastic_model import ElasticModel
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, layer_channels, layer_macs, parameters
from hdap.networks.counting import count_flops, count_parameters
from hdap.networks.criteria import CRITERIA, Evidence, channel_scores
from hdap.networks.equivalence import verify_equivalence
from hdap.networks.following import follow_channels
from hdap.networks.layer_kinds.base import LayerKind
from hdap.networks.layer_kinds.registry import KINDS, find_kind, kind_of
from hdap.networks.surgery import keep, prune
from hdap.networks.tracing import describe, trace
from hdap.portfolio.constant_propagation import propagate_constants
from hdap.portfolio.densify import densify

CHANNELS = 8
CASES = [(name, i) for name, k in KINDS.items() for i in range(len(k.examples(CHANNELS)))]


class Sandwich(nn.Module):
    """The layer between two convolutions, given its channels where it wants them."""

    input_shape = (3, 12, 12)

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.layer = layer
        self.after = nn.Conv2d(CHANNELS, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)
        square = torch.zeros(1, CHANNELS, 5, CHANNELS)
        self.last = kind_of(layer).channel_dim(layer, square) == -1

    def forward(self, image: Tensor) -> Tensor:
        x = self.before(image)
        x = x.movedim(1, -1) if self.last else x
        x = self.layer(x)
        x = x.movedim(-1, 1) if self.last else x
        result: Tensor = self.head(self.after(x).mean((2, 3)))
        return result


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def kind(request: pytest.FixtureRequest) -> LayerKind:
    return KINDS[request.param[0]]


@pytest.fixture
def network(request: pytest.FixtureRequest, kind: LayerKind) -> nn.Module:
    """In eval mode, with random numbers in every tensor."""
    case = request.node.callspec.params["kind"]
    made = Sandwich(kind.examples(CHANNELS)[case[1]]).eval()
    rng = torch.Generator().manual_seed(0)
    for tensor in (*made.parameters(), *made.buffers()):
        if tensor.is_floating_point():
            tensor.detach().copy_(torch.rand(tensor.shape, generator=rng) + 0.2)
    return made


@pytest.fixture
def architecture(network: nn.Module) -> Architecture:
    return trace(network)


def configurations(architecture: Architecture, rows: int = 4) -> Counts:
    places = architecture.widths // architecture.multiples
    rng = np.random.default_rng(0)
    return rng.integers(1, places + 1, (rows, len(places))) * architecture.multiples


def image() -> Tensor:
    return torch.rand(2, *Sandwich.input_shape, generator=torch.Generator().manual_seed(1))


def layers_of(network: nn.Module) -> dict[str, Any]:
    return dict(network.named_modules())


def test_a_layer_is_of_its_kind_and_of_no_other(kind: LayerKind, network: nn.Module) -> None:
    layer = network.get_submodule("layer")
    assert kind_of(layer) is kind
    assert [k for k in KINDS.values() if type(layer) in k.modules] in ([kind], [])
    assert find_kind(nn.ReLU()) is None


def test_a_network_is_traced_as_the_layer_is(network: nn.Module) -> None:
    architecture = trace(network)
    assert Architecture.from_json(architecture.to_json()) == architecture
    (record,) = (x for x in architecture.layers if x.name == "layer")
    kind = kind_of(network.get_submodule("layer"))
    assert (record.kind, record.has_matrix) == (kind.counted_as, kind.has_matrix)
    if kind.same_channels(network.get_submodule("layer")):
        assert record.inputs == record.outputs


def test_formulas_equal_what_torch_counts(network: nn.Module, architecture: Architecture) -> None:
    for counts in (architecture.widths, *configurations(architecture)):
        pruned = prune(network, architecture, counts)
        counted, row = count_flops(pruned, architecture.input_shape), counts[None]
        assert flops(architecture, row)[0] == counted[""]
        assert parameters(architecture, row)[0] == count_parameters(pruned)
        for layer, macs in zip(architecture.layers, layer_macs(architecture, row)[0], strict=True):
            assert not layer.has_matrix or counted[layer.name] == macs


def test_a_pruned_layer_has_the_channels_promised_and_runs(
    network: nn.Module, architecture: Architecture
) -> None:
    for counts in configurations(architecture):
        pruned = prune(network, architecture, counts)
        inputs, outputs = (x[0] for x in layer_channels(architecture, counts[None]))
        for layer, taken, made in zip(architecture.layers, inputs, outputs, strict=True):
            module = pruned.get_submodule(layer.name)
            assert kind_of(module).channels(module) == (taken, made)
        assert pruned(image()).shape == network(image()).shape


def test_pruning_is_ignoring(network: nn.Module, architecture: Architecture) -> None:
    graph = follow_channels(network, architecture.input_shape)
    verify_equivalence(graph, architecture, [group.name for group in architecture.groups])


def test_pruning_in_two_steps_is_pruning_at_once(
    network: nn.Module, architecture: Architecture
) -> None:
    half = np.maximum(architecture.widths // architecture.multiples // 2, 1)
    half *= architecture.multiples
    middle = np.minimum(half + architecture.multiples, architecture.widths)
    once = prune(network, architecture, half)
    first = prune(network, architecture, middle)
    twice = prune(first, describe(first, "first", architecture.input_shape), half)
    state, other = once.state_dict(), twice.state_dict()
    if (architecture.multiples == 1).all():
        assert all(torch.equal(state[name], other[name]) for name in state)
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in other.items()}


def test_surgery_leaves_the_network_as_it_was(
    network: nn.Module, architecture: Architecture
) -> None:
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.get_submodule("layer").requires_grad_(False)
    pruned = prune(network, architecture, configurations(architecture)[0])
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not any(p.requires_grad for p in pruned.get_submodule("layer").parameters())
    assert all(p.requires_grad for p in pruned.get_submodule("after").parameters())


@pytest.mark.parametrize("name", ["lookahead", "l1", "l2", "random"])
def test_criteria_give_a_number_a_channel(
    network: nn.Module, architecture: Architecture, name: str
) -> None:
    scores = channel_scores(name, network, architecture, Evidence())
    assert [len(s) for s in scores] == architecture.widths.tolist()
    assert all(np.isfinite(s).all() and (s >= 0).all() for s in scores)
    assert name in CRITERIA


def test_what_is_said_of_importance_is_a_number_a_channel(
    kind: LayerKind, network: nn.Module
) -> None:
    layer = network.get_submodule("layer")
    for said in (kind.energy_gain(layer), kind.scale(layer)):
        assert not isinstance(said, Tensor) or said.shape == (kind.channels(layer)[1],)


def test_what_reads_an_input_is_its_row_by_input(kind: LayerKind, network: nn.Module) -> None:
    if kind.has_matrix:
        _require_rows_of_inputs(network.get_submodule("layer"))


@pytest.mark.parametrize(
    "layer",
    [nn.ConvTranspose2d(CHANNELS, 4, 3), nn.ConvTranspose2d(CHANNELS, 4, 3, groups=2),
     nn.Conv2d(CHANNELS, 12, 3, groups=4), nn.Conv2d(CHANNELS, 16, 3, groups=CHANNELS)],
)  # fmt: skip
def test_what_reads_an_input_of_other_convolutions_is_so_too(layer: nn.Module) -> None:
    _require_rows_of_inputs(layer)


def _require_rows_of_inputs(layer: nn.Module) -> None:
    kind, weight = kind_of(layer), layer.get_parameter("weight")
    whole = kind.by_input(layer, weight.detach()).square().sum()
    assert float(whole) == pytest.approx(float(weight.detach().square().sum()), rel=1e-5)
    image = torch.zeros((1, 6, CHANNELS) if isinstance(layer, nn.Linear) else (1, CHANNELS, 6, 6))
    image.select(kind.channel_dim(layer, image), 3).fill_(1.0)
    (used,) = torch.autograd.grad(layer(image).square().sum(), weight)
    rows = kind.by_input(layer, used).abs().sum(1)
    assert (rows > 0).tolist() == [channel == 3 for channel in range(CHANNELS)]


def test_an_elastic_prefix_is_the_pruned_network(
    network: nn.Module, architecture: Architecture
) -> None:
    narrow = configurations(architecture)[0]
    levels = np.unique([narrow, architecture.widths], axis=0)
    elastic = ElasticModel(network, architecture, levels, ordered=True).eval()
    elastic.set_level(0)
    with torch.no_grad():
        expected = prune(network, architecture, narrow)(image())
        assert torch.allclose(elastic(image()), expected, rtol=1e-4, atol=1e-5)
        assert torch.allclose(elastic.materialise(0)(image()), expected, rtol=1e-4, atol=1e-5)
        elastic.set_level(len(levels) - 1)
        assert torch.allclose(elastic(image()), network(image()), rtol=1e-4, atol=1e-5)


def test_an_elastic_network_in_order_of_importance_computes_the_same(
    network: nn.Module, architecture: Architecture
) -> None:
    elastic = ElasticModel(network, architecture, architecture.widths[None]).eval()
    with torch.no_grad():
        assert torch.allclose(elastic(image()), network(image()), rtol=1e-3, atol=1e-4)


def test_what_is_known_whatever_the_image_is_so(network: nn.Module) -> None:
    with torch.no_grad():
        network.get_submodule("before").get_parameter("weight")[::2] = 0.0
    found = propagate_constants(network, Sandwich.input_shape).given
    seen: dict[str, Tensor] = {}
    for name in found:
        network.get_submodule(name).register_forward_pre_hook(
            lambda layer, inputs, name=name: seen.setdefault(name, inputs[0])
        )
    with torch.no_grad():
        network(image())
    assert {"before", "after", "head"} <= found.keys()
    for name, given in found.items():
        channels = (
            seen[name]
            .movedim(
                kind_of(layers_of(network)[name]).channel_dim(layers_of(network)[name], seen[name]),
                0,
            )
            .flatten(1)
        )
        known = given.values.isfinite()
        assert torch.allclose(
            channels[known].double(), given.values[known, None], rtol=1e-4, atol=1e-5
        )


def test_zeros_go_without_a_change(network: nn.Module, architecture: Architecture) -> None:
    with torch.no_grad():
        network.get_submodule("before").get_parameter("weight")[[1, 3, 5]] = 0.0
        network.get_submodule("after").get_parameter("weight")[:, [0, 3]] = 0.0
        dense = densify(network, architecture).module
        assert torch.allclose(dense(image()), network(image()), rtol=1e-4, atol=1e-5)


def test_a_network_keeps_exactly_the_channels_named(
    network: nn.Module, architecture: Architecture
) -> None:
    kept = [
        np.flatnonzero(np.tile(np.arange(g.width // g.multiple) % 2 == 0, g.multiple))
        for g in architecture.groups
    ]
    pruned = keep(network, architecture, kept)
    graph = follow_channels(network, architecture.input_shape)
    assert graph.touches(architecture.groups[0].name, [0])
    before = pruned.get_submodule("before").get_parameter("weight")
    whole = network.get_submodule("before").get_parameter("weight")
    group = architecture.index.get("before")
    assert torch.equal(before, whole if group is None else whole[kept[group]])


def test_what_is_of_no_kind_has_none() -> None:
    with pytest.raises(TypeError, match="not a layer of a known kind"):
        kind_of(nn.Bilinear(2, 2, 2))


def test_the_nearest_base_class_says_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaled(nn.Conv2d):
        """A convolution of another package."""

    class ScaledKind(type(KINDS["convolution"])):  # type: ignore[misc]
        modules = (Scaled,)

    mine: Callable[[], LayerKind] = ScaledKind
    monkeypatch.setattr(KINDS, "_own", {**KINDS._own, "scaled": mine()})
    assert kind_of(Scaled(4, 4, 1)) is KINDS["scaled"]
    assert kind_of(nn.Conv2d(4, 4, 1)) is KINDS["convolution"]
