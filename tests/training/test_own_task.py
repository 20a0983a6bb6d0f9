"""A training by the user's own loss: any batch, any output, judged by that loss or by a metric."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import DivergedError, InputError
from hdap.requests.compression_request import CompressRequest
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import TrainingRequest, judged_by
from hdap.training.datasets import Data, DataOptions, as_data
from hdap.training.learning_task import CLASSIFICATION
from hdap.training.network_quality import evaluate
from hdap.training.own_task import JUDGING_BATCH, OwnTask, load_task
from hdap.training.training_loop import train

RECIPE = Recipe(epochs=6, batch_size=16, optimizer="adamw", lr=0.01, recalibration=2)
Batch = dict[str, Any]


class _Places:
    """Images with a bright column, and as nested targets which one it is."""

    def __init__(self, count: int, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.columns = torch.randint(0, 6, (count,), generator=rng)
        self.images = 0.3 * torch.randn(count, 1, 6, 6, generator=rng)
        self.images[torch.arange(count), 0, :, self.columns] += 1.0

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, index: int) -> Batch:
        place = (self.columns[index] / 5.0,)
        return {"image": self.images[index], "target": {"place": place, "name": f"image {index}"}}


class _Locator(nn.Module):
    """A number in training mode, with a name; in eval mode what no loss knows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.2), nn.ReLU(), nn.Flatten()
        )
        self.out = nn.Linear(128, 1)

    def forward(self, images: Tensor) -> Any:
        place = self.out(self.layers(images))[:, 0]
        return {"place": place} if self.training else place.round(decimals=1)


def distance(network: nn.Module, batch: Batch) -> Tensor:
    away: Tensor = network(batch["image"])["place"] - batch["target"]["place"][0]
    return away.square().mean()


def near(network: nn.Module, batches: Iterable[Batch]) -> float:
    hits = [(network(b["image"]) - b["target"]["place"][0]).abs() < 0.2 for b in batches]
    return float(torch.cat(hits).float().mean())


@pytest.fixture
def data() -> Data:
    return Data(_Places(96, 0), _Places(JUDGING_BATCH + 5, 1), None)


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Locator()


TASK = OwnTask(distance, "mine:distance")
JUDGED = OwnTask(distance, "mine:distance", near, "mine:near")


def test_a_nested_batch_is_learned_and_judged_by_the_loss_alone(
    data: Data, network: nn.Module
) -> None:
    history = train(network, data, RECIPE, task=TASK, device="cpu")
    losses = [epoch.validation_loss for epoch in history.epochs]
    assert losses[-1] < 0.5 * losses[0]
    assert all(math.isnan(epoch.accuracy) for epoch in history.epochs)


def test_the_validation_loss_is_the_mean_over_samples(data: Data, network: nn.Module) -> None:
    network.eval()
    with torch.no_grad():
        places = _Places(JUDGING_BATCH + 5, 1)
        found = network.get_submodule("out")(network.get_submodule("layers")(places.images))[:, 0]
        expected = (found - places.columns / 5.0).square().mean()
    quality = TASK.evaluate(network, data.validation)
    assert quality.loss == pytest.approx(float(expected), rel=1e-5)
    assert quality.images == len(places)


def test_judging_changes_nothing_and_says_the_same_twice(data: Data, network: nn.Module) -> None:
    seen: list[bool] = []

    def watched(module: nn.Module, batch: Batch) -> Tensor:
        seen.append(module.training and not torch.is_grad_enabled())
        return distance(module, batch)

    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.get_submodule("out").eval()
    first, second = (
        OwnTask(watched, "mine:watched").evaluate(network, data.validation) for _ in range(2)
    )
    assert seen
    assert all(seen)
    assert first.loss == second.loss
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not network.get_submodule("out").training


def test_a_metric_takes_the_place_of_accuracy(data: Data, network: nn.Module) -> None:
    history = train(network, data, RECIPE, task=JUDGED, device="cpu")
    assert 0.5 < history.last.accuracy <= 1
    expected = near(network, iter([torch.utils.data.default_collate(list(_items(data)))]))
    assert history.last.accuracy == pytest.approx(expected)


def _items(data: Data) -> Iterator[Any]:
    return (data.validation[i] for i in range(len(data.validation)))


def test_recalibration_gives_batch_norms_what_flows_now(data: Data, network: nn.Module) -> None:
    norm = network.get_submodule("layers.1")
    before = norm.get_buffer("running_mean").clone()
    TASK.recalibrate(Recipe(recalibration=0), network, data.train)
    assert torch.equal(norm.get_buffer("running_mean"), before)
    TASK.recalibrate(RECIPE, network, data.train)
    assert not torch.equal(norm.get_buffer("running_mean"), before)
    assert norm.training


def test_a_stopped_run_goes_on_to_bit_equal_numbers(data: Data, network: nn.Module) -> None:
    snapshots: list[Any] = []

    def keep(_: object, snapshot: Callable[[], Any]) -> None:
        made = snapshot()
        snapshots.append(torch.utils._pytree.tree_map(_copied, (made.module, made.optimizer)))
        states.append(made)

    states: list[Any] = []
    whole = train(network, data, RECIPE, task=JUDGED, device="cpu", on_epoch=keep)
    module, optimizer = snapshots[0]
    first = type(states[0])(module, optimizer, states[0].scaler, whole.epochs[:1])
    again = train(_Locator(), data, RECIPE, task=JUDGED, device="cpu", resume=first)
    assert [e.validation_loss for e in again.epochs] == [e.validation_loss for e in whole.epochs]
    assert [e.accuracy for e in again.epochs] == [e.accuracy for e in whole.epochs]


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _raises(network: nn.Module, batch: Batch) -> Tensor:
    return torch.zeros(2) + torch.zeros(3)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (_raises, r"`mine:loss` must give a loss .* failed with RuntimeError: The size of"),
        (lambda n, b: 3.0, "must give a scalar tensor, but gave float"),
        (lambda n, b: torch.zeros(3), r"must give a scalar tensor, but gave \(3,\)"),
        (lambda n, b: torch.zeros(()), "must give a loss with a gradient"),
    ],
)
def test_a_loss_that_is_none_is_told_in_a_line(
    data: Data, network: nn.Module, loss: Any, message: str
) -> None:
    recipe = Recipe(epochs=1, batch_size=16)
    with pytest.raises(InputError, match=message):
        train(network, data, recipe, task=OwnTask(loss, "mine:loss"), device="cpu")


def test_a_loss_that_runs_away_is_told_as_ever(data: Data, network: nn.Module) -> None:
    task = OwnTask(lambda n, b: distance(n, b) * math.nan, "mine:nan")
    with pytest.raises(DivergedError, match="is nan at step 1"):
        train(network, data, RECIPE, task=task, device="cpu")


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan])
def test_a_metric_is_a_share(data: Data, network: nn.Module, value: float) -> None:
    task = OwnTask(distance, "mine:distance", lambda n, b: value, "mine:metric")
    with pytest.raises(InputError, match=r"`mine:metric` must give a share in 0\.\.1"):
        task.evaluate(network, data.validation)


def test_samples_that_do_not_collate_are_told(network: nn.Module) -> None:
    class Ragged(_Places):
        def __getitem__(self, index: int) -> Any:
            return torch.zeros(index + 1)

    with pytest.raises(InputError, match="must be of one structure"):
        train(network, Data(Ragged(32, 0), Ragged(4, 1), None), RECIPE, task=TASK, device="cpu")


def test_nobody_counts_classes_of_what_has_none() -> None:
    found = as_data(_Places(20, 0), "mine:data", DataOptions(labelled=False))
    assert found.classes is None
    assert len(found.train) + len(found.validation) == 20


def test_a_teacher_of_classes_teaches_no_loss(data: Data, network: nn.Module) -> None:
    with pytest.raises(InputError, match="learns from none"):
        train(network, data, RECIPE, task=TASK, teacher=_Locator(), device="cpu")


OWN: dict[str, Any] = {"loss": "mine:loss"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "mine:metric"}, "but got --metric mine:metric alone"),
        (OWN | {"teacher": "pretrained"}, "learns from `--loss` or from a teacher"),
        (OWN | {"recipe": Recipe(label_smoothing=0.1)}, "smoothed in cross-entropy"),
    ],
)
def test_what_goes_with_classes_alone_is_refused_beside_a_loss(
    asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        TrainingRequest(Path("out"), "mine:data", **asked)
    with pytest.raises(InputError, match=message):
        CompressRequest("mine:net", "50%", "mine:data", weights="dense.pt", **asked)


def test_a_compression_by_a_loss_needs_a_metric_and_no_cross_entropy() -> None:
    own = OWN | {"weights": "dense.pt"}
    with pytest.raises(InputError, match="give --metric"):
        CompressRequest("mine:net", "50%", "mine:data", **own)
    with pytest.raises(InputError, match="taylor differentiates cross-entropy"):
        CompressRequest("mine:net", "50%", "mine:data", metric="a:b", criterion="taylor", **own)


def test_a_task_is_found_by_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mytask.py").write_text("def loss(n, b): ...\ndef metric(n, b): ...\n")
    monkeypatch.chdir(tmp_path)
    task = load_task("mytask:loss", "mytask:metric")
    assert isinstance(task, OwnTask)
    assert (task.loss_name, task.metric_name) == ("mytask:loss", "mytask:metric")
    assert load_task("", "") is CLASSIFICATION
    with pytest.raises(InputError, match="`--loss` is written"):
        load_task("loss", "")
    with pytest.raises(InputError, match="must define `other`"):
        load_task("mytask:loss", "mytask:other")
    sys.modules.pop("mytask")


def test_what_is_judged_has_a_name() -> None:
    assert judged_by("", "") == "accuracy"
    assert judged_by("a.b:loss", "") == ""
    assert judged_by("a.b:loss", "a.b:map50") == "map50"


def test_classes_are_judged_as_before() -> None:
    images = torch.randn(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    samples = torch.utils.data.TensorDataset(images, torch.tensor([0, 1, 2, 0, 1, 2]))
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    assert CLASSIFICATION.evaluate(network, samples) == evaluate(network, samples)
