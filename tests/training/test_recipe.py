from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hdap.fleet_data.errors import InputError
from hdap.requests.recipe import OPTIMIZERS, SCHEDULES, Recipe
from hdap.training.training_loop import OPTIMIZER_KINDS, make_optimizer

WRONG: dict[str, Any] = {
    "epochs": 0,
    "batch_size": 0,
    "accumulation": 0,
    "lr": 0.0,
    "momentum": 1.0,
    "weight_decay": -1.0,
    "warmup_epochs": 10.0,
    "label_smoothing": 1.0,
    "distillation": 1.5,
    "temperature": 0.0,
    "clip_norm": float("inf"),
    "recalibration": -1,
    "decay": 0.0,
    "optimizer": "lion",
    "schedule": "sawtooth",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_number_out_of_range_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(Recipe(), **{name: WRONG[name]})
    assert name in str(caught.value)
    assert str(WRONG[name]) in str(caught.value)


def test_the_recipe_names_the_optimisers_that_there_are() -> None:
    assert tuple(OPTIMIZER_KINDS) == OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_lowers_a_loss_and_lets_scales_and_biases_alone(name: str) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = make_optimizer(network, Recipe(optimizer=name, lr=0.05, weight_decay=0.1))
    decays = {
        g["weight_decay"]: sorted(p.dim() for p in g["params"]) for g in optimizer.param_groups
    }
    assert decays == {0.1: [2], 0.0: [1, 1, 1]}
    rng = torch.Generator().manual_seed(0)
    inputs, target = (torch.randn(32, 4, generator=rng) for _ in range(2))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (network(inputs) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@given(
    schedule=st.sampled_from(SCHEDULES),
    epochs=st.integers(1, 30),
    steps=st.integers(1, 20),
    warmup=st.floats(0.0, 0.9),
)
def test_a_rate_rises_to_the_peak_and_never_exceeds_it(
    schedule: str, epochs: int, steps: int, warmup: float
) -> None:
    recipe = Recipe(epochs=epochs, schedule=schedule, warmup_epochs=warmup * epochs, lr=0.1)
    rates = [recipe.lr_at(step, steps) for step in range(epochs * steps)]
    assert all(0.0 < rate <= 0.1 + 1e-12 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_hdaps_schedule_falls_tenfold_every_ten_epochs() -> None:
    recipe = Recipe(epochs=60, schedule="step", lr=0.01)
    found = [recipe.lr_at(epoch * 4, 4) for epoch in (0, 9, 10, 25)]
    assert found == pytest.approx([0.01, 0.01, 0.001, 0.0001])


def test_cosine_ends_near_nothing() -> None:
    recipe = Recipe(epochs=10, lr=1.0)
    assert recipe.lr_at(0, 100) == 1.0
    assert recipe.lr_at(500, 100) == pytest.approx(0.5)
    assert recipe.lr_at(999, 100) < 1e-5
