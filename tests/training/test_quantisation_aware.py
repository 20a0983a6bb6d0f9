"""Training that feels int8, against the rounding it stands for."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hdap.examples.digits import digits
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import load_seeded
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate
from hdap.training.quantisation_aware import (
    LARGEST,
    STEPS,
    rounded_input,
    rounded_to_int8,
    rounded_weight,
)
from hdap.training.training_loop import train

Make = Callable[..., nn.Module]
MODEL = "hdap.examples.networks:small_mobilenet"
RECIPE = Recipe(epochs=2, batch_size=16, lr=0.05, qat=True)
LAYERS = [
    (nn.Conv2d(4, 6, 3), (2, 4, 5, 5), 0),
    (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 5, 5), 0),
    (nn.Conv1d(4, 6, 3), (2, 4, 5), 0),
    (nn.ConvTranspose2d(4, 6, 3), (2, 4, 5, 5), 1),
    (nn.Linear(4, 6), (2, 4), 0),
]


@given(st.integers(0, 2**31 - 1), st.floats(1e-3, 1e3), st.integers(0, 1))
def test_a_weight_has_at_most_255_values_a_channel_and_moves_by_half_a_step(
    seed: int, size: float, axis: int
) -> None:
    weight = size * torch.randn(3, 5, 2, 2, generator=torch.Generator().manual_seed(seed))
    found = rounded_weight(weight, axis)
    for own, other in zip(weight.unbind(axis), found.unbind(axis), strict=True):
        step = float(own.abs().max()) / LARGEST
        levels = other / step
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert float(levels.abs().max()) <= LARGEST + 1e-3
        assert float((own - other).abs().max()) <= 0.5001 * step


@given(st.integers(0, 2**31 - 1), st.floats(1e-3, 1e3), st.floats(-3, 3))
def test_an_input_keeps_zero_and_moves_by_a_step_at_most(
    seed: int, size: float, shift: float
) -> None:
    values = size * (shift + torch.randn(40, generator=torch.Generator().manual_seed(seed)))
    values[0] = 0.0
    found = rounded_input(values)
    assert found[0] == 0.0
    assert len(set(found.tolist())) <= STEPS + 1
    assert float((values - found).abs().max()) <= 1.001 * float(values.max() - values.min()) / STEPS


@pytest.mark.parametrize(("layer", "shape", "axis"), LAYERS)
def test_a_layer_computes_with_rounded_values_inside_and_as_before_outside(
    layer: nn.Module, shape: tuple[int, ...], axis: int
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    parameter, names, before = layer.get_parameter("weight"), list(layer.state_dict()), layer(x)
    with rounded_to_int8(layer):
        inside = layer(x)
        assert list(layer.state_dict()) == names
    again = layer(x)
    assert layer.weight is parameter
    assert torch.equal(again, before)
    assert not torch.equal(inside, before)
    by_hand = torch.func.functional_call(
        layer, {"weight": rounded_weight(parameter, axis)}, (rounded_input(x),)
    )
    assert torch.equal(inside, by_hand)
    (gradient,) = torch.autograd.grad(inside.sum(), parameter)
    assert float(gradient.abs().sum()) > 0


def test_a_channel_of_zeros_and_half_precision_are_rounded_too() -> None:
    weight = torch.zeros(2, 3)
    assert torch.equal(rounded_weight(weight, 0), weight)
    assert rounded_input(torch.randn(5).bfloat16()).dtype == torch.bfloat16
    assert torch.equal(rounded_input(torch.zeros(3)), torch.zeros(3))


def test_a_layer_that_fails_has_its_weight_back() -> None:
    layer = nn.Conv2d(4, 6, 3)
    weight = layer.weight
    with rounded_to_int8(layer):
        with pytest.raises(RuntimeError):
            layer(torch.randn(1, 5, 5, 5))
        assert layer.weight is weight
    assert isinstance(layer.weight, nn.Parameter)


def test_training_moves_other_weights_and_judges_them_unrounded(make: Make, data: Data) -> None:
    rounded, plain = make(), make()
    history = train(rounded, data, RECIPE)
    train(plain, data, replace(RECIPE, qat=False))
    assert list(rounded.state_dict()) == list(plain.state_dict())
    assert any(
        not torch.equal(a, b) for a, b in zip(rounded.parameters(), plain.parameters(), strict=True)
    )
    assert history.last.validation_loss == evaluate(rounded, data.validation).loss
    again = make()
    train(again, data, RECIPE)
    assert _same(again, rounded)


def test_a_network_trained_so_loses_less_where_steps_are_coarse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seven values a weight and eight an input: at 255 and 256 the digits lose nothing anyway."""
    monkeypatch.setattr("hdap.training.quantisation_aware.LARGEST", 3)
    monkeypatch.setattr("hdap.training.quantisation_aware.STEPS", 7)
    digits_data = Data(*digits(), 10)
    recipe = Recipe(epochs=2, batch_size=32, lr=0.05)
    trained = load_seeded(MODEL, WeightsSource(seed=0)).module
    train(trained, digits_data, recipe, device="cpu")
    accuracies = []
    for qat in (True, False):
        network = copy.deepcopy(trained)
        train(network, digits_data, replace(recipe, epochs=1, lr=0.02, qat=qat), device="cpu")
        with rounded_to_int8(network):
            accuracies.append(evaluate(network, digits_data.validation).accuracy)
    assert accuracies[0] > accuracies[1] + 0.05


def _same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(bool(torch.equal(a, b)) for a, b in pairs)


def test_gradients_pass_through_the_rounding() -> None:
    values = torch.linspace(-1.0, 2.0, 50, requires_grad=True)
    (gradient,) = torch.autograd.grad(rounded_input(values).sum(), values)
    assert torch.equal(gradient, torch.ones(50))
