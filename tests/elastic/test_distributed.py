"""Two processes train the levels of one network as one process does; no mock of either."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import distributed

SCRIPT = """
import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from hdap.elastic.levels import uniform_levels
from hdap.elastic.elastic_training import train_elastic
from hdap.requests.training_request import MODES, ElasticTraining
from hdap.networks.tracing import trace
from hdap.networks.pruned_network import dense_manifest
from hdap.networks.prune_plan import WeightsSource
from hdap.training.datasets import Data
from hdap.training.distributed import processes, rank
from hdap.training.training_session import TrainingWatch
from hdap.requests.recipe import Recipe


def samples(count, seed):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = torch.randn(count, 1, 6, 6, generator=rng)
    images[torch.arange(count), 0, labels] += 1.0
    return TensorDataset(images, labels)


torch.set_num_threads(1)
with processes():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    levels = uniform_levels(trace(network, name="small", input_shape=(1, 6, 6)), ("40%", "100%"))
    base = dense_manifest(levels.architecture, network, WeightsSource(seed=0))
    data, result = Data(samples(64, 0), samples(51, 1), 3), {}
    for mode in MODES:
        wanted = ElasticTraining(Path(sys.argv[1], mode), "rows", Recipe(4, 16, lr=0.05), mode=mode)
        done = train_elastic(network, base, levels, data, wanted, TrainingWatch())
        state = done.checkpoint.model.state_dict()
        result[mode] = {
            "weights": [float(t.double().square().sum()) for t in state.values()],
            "losses": [[e.train_loss, e.validation_loss] for e in done.epochs],
            "images": [q.images for q in done.qualities],
        }
    Path(sys.argv[1], f"{rank()}.json").write_text(json.dumps(result))
"""


@pytest.mark.skipif(not distributed.is_gloo_available(), reason="torch was built without Gloo")
def test_two_processes_train_the_levels_that_one_trains(
    processes: Callable[[str, int], list[Any]],
) -> None:
    (alone,) = processes(SCRIPT, 1)
    first, second = processes(SCRIPT, 2)
    assert first == second
    for mode, found in alone.items():
        assert first[mode]["images"] == found["images"] == [51, 51]
        for name in ("weights", "losses"):
            torch.testing.assert_close(
                torch.tensor(first[mode][name]), torch.tensor(found[name]), rtol=1e-3, atol=1e-5
            )
