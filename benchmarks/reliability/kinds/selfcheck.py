"""Layers that mix channels, between two convolutions: kept whole, or pruned exactly."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.reliability.attack import Attack, Outcome, Tally
from benchmarks.reliability.layer_zoo import INPUT_SHAPE, alone, mixing
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.equivalence import pruning_error
from hdap.networks.following import follow_channels
from hdap.networks.tracing import trace

LOST, EXACT = 0.4, 1e-9
"""Share of channels that go, and how far the outputs may be off, relative to the largest."""


def what_mixes_channels(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    for name, network in mixing().items():
        network = network.double().eval()
        try:
            architecture = trace(network, input_shape=INPUT_SHAPE)
        except UnsupportedModelError as error:
            named = "`" in str(error)
            tally.add(None if named else f"{name}: no layer is named: {error}")
            continue
        graph = follow_channels(network, INPUT_SHAPE, architecture.index)
        rng = np.random.default_rng(0)
        gone = np.flatnonzero(rng.random(len(graph.group_of)) < LOST)
        images = torch.randn(1, *INPUT_SHAPE, dtype=torch.float64)
        off = pruning_error(network, graph, gone, images)
        random = name == "dropout that never ends"
        tally.add(None if off <= EXACT or random else f"{name}: off by {off:.1e}")
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
