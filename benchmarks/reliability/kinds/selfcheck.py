"""Layers that mix channels, between two convolutions: refused by name, or pruned exactly."""

from pathlib import Path

from benchmarks.reliability.attack import Attack, Outcome, Tally
from benchmarks.reliability.layer_zoo import INPUT_SHAPE, alone, mixing
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.tracing import trace


def what_mixes_channels(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    for name, network in mixing().items():
        layers = [f"`{layer}`" for layer, _ in network.named_parameters()]
        layers += [f"`{layer}`" for layer, _ in network.named_modules() if layer]
        try:
            trace(network, input_shape=INPUT_SHAPE)
        except UnsupportedModelError as error:
            named = any(layer in str(error) for layer in layers)
            tally.add(None if named else f"{name}: no layer is named: {error}")
        else:
            tally.add(f"{name}: let through")
    return tally.outcome()


def what_leaves_channels_alone(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    for name, network in alone().items():
        try:
            groups = trace(network, input_shape=INPUT_SHAPE).groups
        except UnsupportedModelError as error:
            tally.add(f"{name}: refused: {error}")
        else:
            tally.add(None if len(groups) >= 2 else f"{name}: {len(groups)} width groups")
    return tally.outcome()


ATTACKS = (
    Attack("what mixes channels", what_mixes_channels),
    Attack("what leaves channels alone", what_leaves_channels_alone),
)
