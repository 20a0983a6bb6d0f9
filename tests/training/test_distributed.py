"""Real processes that talk by Gloo, against one process that does all the work."""

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

from hdap.training.datasets import Data
from hdap.training.distributed import processes, rank
from hdap.training.network_quality import evaluate
from hdap.training.own_task import OwnTask
from hdap.training.training_loop import train
from hdap.requests.recipe import Recipe


def samples(count, seed):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = torch.randn(count, 1, 6, 6, generator=rng)
    images[torch.arange(count), 0, labels] += 1.0
    return TensorDataset(images, labels)


def losses(network, batch, step):
    images, labels = batch
    yield nn.functional.cross_entropy(network(images), labels)
    yield nn.functional.cross_entropy(network(images.flip(-1)), labels)


def losses_mean(network, batch):
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


def right(network, batches):
    found = [network(images).argmax(1) == labels for images, labels in batches]
    return sum(int(x.sum()) for x in found) / sum(len(x) for x in found)


def network(norm):
    torch.manual_seed(0)
    between = [nn.BatchNorm2d(4)] if norm else []
    return nn.Sequential(nn.Conv2d(1, 4, 3), *between, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


torch.set_num_threads(1)
with processes():
    data = Data(samples(80, 0), samples(51, 1), 3)
    recipe = Recipe(epochs=2, batch_size=8, accumulation=2, lr=0.05)
    result = {}
    for name, several in (("usual", None), ("several", losses)):
        history = train(network(False), data, recipe, losses=several)
        result[name] = [[e.train_loss, e.validation_loss, e.accuracy] for e in history.epochs]
    own = OwnTask(losses_mean, "own:loss", right, "own:right")
    history = train(network(False), data, recipe, task=own)
    result["own"] = [[e.train_loss, e.validation_loss, e.accuracy] for e in history.epochs]
    normed = network(True)
    train(normed, data, recipe)
    result["statistics"] = normed[1].running_mean.tolist()
    result["images"] = evaluate(normed, data.validation).images
    Path(sys.argv[1], f"{rank()}.json").write_text(json.dumps(result))
"""


@pytest.mark.skipif(not distributed.is_gloo_available(), reason="torch was built without Gloo")
def test_two_processes_take_the_steps_that_one_takes(
    processes: Callable[[str, int], list[Any]],
) -> None:
    (alone,) = processes(SCRIPT, 1)
    first, second = processes(SCRIPT, 2)
    assert first == second
    for steps in ("usual", "several", "own"):
        torch.testing.assert_close(
            torch.tensor(first[steps]), torch.tensor(alone[steps]), rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(
        torch.tensor(alone["own"]), torch.tensor(alone["usual"]), rtol=1e-4, atol=1e-5
    )
    assert first["images"] == alone["images"] == 51
