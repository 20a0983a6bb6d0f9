import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hdap.elastic import ElasticModel
from hdap.elastic.levels import Levels, uniform_levels
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops, layer_channels
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.layer_kinds.registry import kind_of
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe, trace

SHAPE = (2, 8, 8)


class Mixed(nn.Module):
    """Residual, depthwise, grouped and concatenated channels, two kinds of norms, a flat head."""

    input_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.spread = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.second = nn.BatchNorm2d(12)
        self.narrow = nn.Conv2d(12, 6, 1)
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.wide = nn.Conv2d(6, 12, 1)
        self.slope = nn.PReLU(12)
        self.side = nn.Conv2d(12, 4, 1)
        self.lasting = nn.LayerNorm(16)
        self.head = nn.Linear(16 * 4, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.stem(image)).relu()
        x = self.second(self.spread(x))
        x = self.slope(x + self.wide(self.grouped(self.narrow(x)).relu()))
        both = torch.cat([x, self.side(x).relu()], 1)
        both = self.lasting(both.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        result: Tensor = self.head(nn.functional.adaptive_avg_pool2d(both, 2).flatten(1))
        return result


@pytest.fixture(scope="module")
def mixed() -> Mixed:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Mixed()
        for tensor in network.state_dict().values():
            if tensor.dim() == 1:
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def architecture(mixed: Mixed) -> Architecture:
    return trace(mixed)


@pytest.fixture(scope="module")
def levels(architecture: Architecture) -> Levels:
    return uniform_levels(architecture, ["20%", "60%", "100%"])


@pytest.fixture
def elastic(mixed: Mixed, architecture: Architecture, levels: Levels) -> ElasticModel:
    return ElasticModel(mixed, architecture, levels)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def _statistics(network: nn.Module) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in network.state_dict().items() if "running" in n}


@torch.no_grad()
def test_the_widest_level_computes_what_the_network_did(
    elastic: ElasticModel, mixed: Mixed, images: Tensor
) -> None:
    torch.testing.assert_close(elastic(images), mixed(images), rtol=1e-5, atol=1e-5)
    assert not torch.equal(elastic.order, torch.arange(len(elastic.order)))


@torch.no_grad()
def test_a_materialised_level_equals_the_elastic_one_bit_for_bit(
    elastic: ElasticModel, levels: Levels, images: Tensor
) -> None:
    for level in (0, 1, 2):
        elastic.set_level(level)
        plain = elastic.materialise(level)
        assert torch.equal(plain(images), elastic(images))
        assert type(plain) is Mixed
        assert not plain.training
        _, outputs = layer_channels(levels.architecture, levels.counts[[level]])
        for layer, made in zip(levels.architecture.layers, outputs[0], strict=True):
            module = plain.get_submodule(layer.name)
            assert kind_of(module).channels(module)[1] == made


@torch.no_grad()
def test_a_level_is_what_surgery_would_make_of_it(
    elastic: ElasticModel, mixed: Mixed, architecture: Architecture, levels: Levels, images: Tensor
) -> None:
    scores = lookahead_scores(mixed, architecture)
    for level, counts in enumerate(levels.counts):
        elastic.set_level(level)
        expected = prune(mixed, architecture, counts, scores)(images)
        torch.testing.assert_close(elastic(images), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None, database=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_valid_configuration_runs_and_is_what_surgery_would_make_of_it(
    mixed: Mixed, architecture: Architecture, levels: Levels, images: Tensor, seed: int
) -> None:
    elastic = ElasticModel(mixed, architecture, levels)
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, architecture.widths // architecture.multiples + 1)
    counts *= architecture.multiples
    elastic.set_configuration(counts)
    with torch.no_grad():
        found = elastic(images)
        expected = prune(mixed, architecture, counts, lookahead_scores(mixed, architecture))
        torch.testing.assert_close(found, expected(images), rtol=1e-4, atol=1e-5)
        assert torch.equal(elastic.materialise()(images), found)
    assert (elastic.configuration == counts).all()


@torch.no_grad()
def test_switching_up_and_down_gives_the_same_outputs(
    elastic: ElasticModel, images: Tensor
) -> None:
    def outputs() -> list[Tensor]:
        found = []
        for level in (2, 0, 1):
            elastic.set_level(level)
            found.append(elastic(images))
        return found

    before = outputs()
    elastic.set_configuration(elastic.levels.counts[0] * 2)
    elastic(images)
    elastic.materialise(0)
    assert all(torch.equal(a, b) for a, b in zip(before, outputs(), strict=True))


@torch.no_grad()
def test_layers_run_on_views_of_one_set_of_weights(elastic: ElasticModel, images: Tensor) -> None:
    for level in (0, 1, 2):
        elastic.set_level(level)
        elastic(images)
        for name in ("stem", "spread"):
            weight = elastic.network.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            whole = elastic.shared.get(f"{name}.weight")
            assert weight.data_ptr() == whole.data_ptr()
            assert weight.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    assert len(elastic.materialise(2).get_parameter("stem.weight")) == 12


@torch.no_grad()
def test_a_switch_moves_no_numbers(elastic: ElasticModel) -> None:
    before = [id(t) for t in elastic.state_dict(keep_vars=True).values()]
    elastic.set_level(0)
    first = elastic.network.get_submodule("stem").weight
    elastic.set_level(1)
    elastic.set_level(0)
    assert elastic.network.get_submodule("stem").weight is first
    assert [id(t) for t in elastic.state_dict(keep_vars=True).values()] == before


def test_bytes_of_norms_a_level_are_counted(elastic: ElasticModel, levels: Levels) -> None:
    width = elastic.architecture.index["stem"]
    # two batch norms of 4 floats a channel and a counter, a PReLU, a LayerNorm over two groups
    side = elastic.architecture.index["side"]
    per_level = [
        4 * (2 * 4 + 1) * c[width] + 2 * 8 + 4 * 2 * (c[width] + c[side]) for c in levels.counts
    ]
    order = 4 * sum(g.width for g in elastic.architecture.groups)
    assert elastic.extra_bytes == sum(per_level[:-1]) + order
    assert elastic.storage_ratio == 1 + elastic.extra_bytes / elastic.dense_bytes


def test_gradients_reach_the_shared_weights_inside_the_level_alone(
    elastic: ElasticModel, images: Tensor
) -> None:
    elastic.train().set_level(0)
    elastic(images).square().sum().backward()
    gradient = elastic.shared.get("stem.weight").grad
    kept = int(elastic.levels.counts[0][elastic.architecture.index["stem"]])
    assert gradient is not None
    assert gradient[:kept].abs().sum() > 0
    assert (gradient[kept:] == 0).all()
    norms = [elastic.norms[i].get("norm.weight").grad for i in (0, 1)]  # type: ignore[operator]
    assert norms[0] is not None
    assert norms[1] is None


@torch.no_grad()
def test_what_was_trained_shows_at_once(elastic: ElasticModel, images: Tensor) -> None:
    elastic.set_level(0)
    before = elastic(images)
    for name in ("stem.weight", "grouped.weight", "head.weight"):
        elastic.shared.get(name).mul_(1.5)
    after = elastic(images)
    assert not torch.allclose(before, after)
    assert torch.equal(after, elastic.materialise(0)(images))


def test_training_and_judging_take_turns(elastic: ElasticModel, images: Tensor) -> None:
    elastic.train().set_level(1)
    elastic(images).sum().backward()
    elastic.eval()
    with torch.no_grad():
        elastic.set_level(0)
        found = elastic(images)
        assert not found.requires_grad
        assert torch.equal(found, copy.deepcopy(elastic)(images))
        assert torch.equal(found, elastic.to("cpu")(images)) is False  # `to` sets the widest
        elastic.set_level(0)
        assert torch.equal(found, elastic(images))


@torch.no_grad()
def test_recalibration_changes_the_level_that_is_set_alone(
    elastic: ElasticModel, images: Tensor
) -> None:
    before = [_statistics(norms) for norms in elastic.norms]
    elastic.set_level(1)
    elastic.recalibrate([images * 3, images])
    after = [_statistics(norms) for norms in elastic.norms]
    changed = [
        any(not torch.equal(one[k], other[k]) for k in one)
        for one, other in zip(before, after, strict=True)
    ]
    assert changed == [False, True, False]


@torch.no_grad()
def test_a_recalibrated_configuration_leaves_all_levels_alone(
    elastic: ElasticModel, images: Tensor
) -> None:
    before = _statistics(elastic)
    counts = elastic.levels.counts[1].copy()
    counts[0] -= 1
    elastic.set_configuration(counts)
    first = elastic(images)
    elastic.recalibrate([images])
    assert not torch.allclose(first, elastic(images))
    assert all(torch.equal(before[k], v) for k, v in _statistics(elastic).items())
    elastic.set_configuration(counts)
    assert torch.equal(first, elastic(images))


def test_scores_decide_the_order(
    mixed: Mixed, architecture: Architecture, levels: Levels, images: Tensor
) -> None:
    scores = [np.arange(float(g.width)) for g in architecture.groups]
    elastic = ElasticModel(mixed, architecture, levels, scores=scores)
    assert torch.equal(elastic.shared.get("stem.weight"), mixed.stem.weight.flip(0))


def test_the_given_network_is_not_changed(
    mixed: Mixed, architecture: Architecture, levels: Levels
) -> None:
    before = {k: v.clone() for k, v in mixed.state_dict().items()}
    ElasticModel(mixed, architecture, levels)
    assert all(torch.equal(v, before[k]) for k, v in mixed.state_dict().items())


def test_a_level_that_is_no_prefix_of_the_next_is_named(
    mixed: Mixed, architecture: Architecture
) -> None:
    low, high = architecture.multiples * 2, architecture.widths.copy()
    high[architecture.index["side"]] = 1
    with pytest.raises(InputError, match="side has 2 channels at level 0 and 1 at level 1"):
        ElasticModel(mixed, architecture, [low, high])
    with pytest.raises(InputError, match="levels 0 and 1 are the same"):
        ElasticModel(mixed, architecture, [low, low])
    with pytest.raises(InputError, match="`stem` must lie in"):
        ElasticModel(mixed, architecture, [architecture.widths * 2])


def test_a_level_or_configuration_that_is_not_there_is_refused(
    mixed: Mixed, architecture: Architecture
) -> None:
    elastic = ElasticModel(mixed, architecture, [architecture.multiples * 2])
    for level in (-1, 1):
        with pytest.raises(InputError, match=r"one of 0\.\.0"):
            elastic.set_level(level)
    with pytest.raises(InputError, match="widest level, which keeps 2 channels of `stem`"):
        elastic.set_configuration(architecture.widths)


class Rigid(nn.Module):
    """Knows one channel by its number."""

    input_shape = SHAPE
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)
        self.head = nn.Linear(4, 2)
        self.register_buffer("scale", torch.tensor([9.0]))

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv(image)
        first = torch.arange(x.shape[1], device=x.device) == 0
        x = x * (1 + self.scale * first.float().view(1, -1, 1, 1))
        result: Tensor = self.head(x.mean((2, 3)))
        return result


def test_a_network_that_knows_channels_by_number_is_refused() -> None:
    class Plain(Rigid):
        def forward(self, image: Tensor) -> Tensor:
            result: Tensor = self.head(self.conv(image).mean((2, 3)))
            return result

    architecture = describe(Plain(), "Plain", SHAPE)
    with pytest.raises(UnsupportedModelError, match="`conv` keeps all of its channels here"):
        ElasticModel(Rigid().eval(), architecture, [[2]], scores=[np.arange(4.0)])


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv1_100", "densenet121", "regnety_008"])
def test_timm_networks_are_split_on_meta(name: str) -> None:
    from hdap.networks.loading import load_model

    loaded = load_model(name, device="meta")
    architecture = describe(loaded.module, name, loaded.input_shape)
    levels = uniform_levels(architecture, ["50%", "100%"])
    elastic = ElasticModel(loaded.module, architecture, levels, ordered=True)
    for level in (0, 1):
        plain = describe(elastic.materialise(level), name, loaded.input_shape)
        assert [g.width for g in plain.groups] == levels.counts[level].tolist()
    assert flops(architecture, levels.counts)[0] <= 0.5 * flops(architecture, levels.counts)[1]


@torch.no_grad()
def test_five_levels_of_resnet50_take_at_most_two_percent_more() -> None:
    from hdap.networks.loading import load_model

    loaded = load_model("resnet50", device="meta")
    architecture = describe(loaded.module, "resnet50", loaded.input_shape)
    levels = uniform_levels(architecture, ["20%", "40%", "60%", "80%", "100%"])
    elastic = ElasticModel(loaded.module, architecture, levels, ordered=True)
    assert 1.0 < elastic.storage_ratio <= 1.02
