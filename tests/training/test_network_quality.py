from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from hdap.fleet_data.errors import InputError
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate, recalibrate, recalibrate_on

Make = Callable[..., nn.Module]


class _Brightest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.mean((2, 3))


def _channels(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows)[:, :, None, None]


def test_accuracy_and_loss_are_those_computed_by_hand() -> None:
    images = _channels([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    labels = torch.tensor([0, 1, 1])
    found = evaluate(_Brightest(), TensorDataset(images, labels), batch_size=2)
    expected = nn.functional.cross_entropy(2.0 * images[:, :, 0, 0], labels)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(float(expected))
    assert found.images == 3


def test_judging_leaves_mode_and_statistics_alone(make: Make, data: Data) -> None:
    network = make().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    evaluate(network, data.validation)
    assert network.training
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 2, 1, 1), [0, 2], r"labels must be in 0\.\.1"),
        (torch.zeros(2, 2, 1, 1), [0, -1], "is -1"),
        (torch.zeros(2), [0, 1], "n x C x H x W"),
        (torch.zeros(2, 2, 1, 1, dtype=torch.uint8), [0, 1], "float inputs"),
    ],
)
def test_what_does_not_fit_is_one_line(images: Tensor, labels: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(_Brightest(), TensorDataset(images, torch.tensor(labels)))


def test_what_is_no_image_is_judged_too() -> None:
    network = nn.Linear(2, 2, bias=False)
    nn.init.eye_(network.weight)
    sounds = TensorDataset(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    assert evaluate(network, sounds).accuracy == 0.5


def test_images_of_another_shape_than_the_network_takes_are_refused(make: Make) -> None:
    samples = TensorDataset(torch.zeros(2, 3, 6, 6), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="must take images of"):
        evaluate(make(), samples)


def test_recalibrated_norms_hold_the_mean_over_batches() -> None:
    norm = nn.BatchNorm2d(1)
    network = nn.Sequential(norm, nn.Dropout(0.5)).train()
    norm.running_mean.fill_(99.0)  # type: ignore[union-attr]
    batches = [torch.full((2, 1, 1, 1), 1.0), torch.full((2, 1, 1, 1), 4.0)]
    recalibrate(network, batches)
    assert float(norm.running_mean) == pytest.approx(2.5)  # type: ignore[arg-type]
    assert norm.momentum == 0.1
    assert network.training
    assert norm.training


def test_recalibration_repairs_a_network_whose_statistics_are_stale(make: Make, data: Data) -> None:
    network = make()
    mean = network.get_submodule("1").running_mean
    assert isinstance(mean, Tensor)
    weights = network.get_submodule("0").get_parameter("weight").clone()
    mean.fill_(-50.0)
    stale = evaluate(network, data.validation).loss
    recalibrate_on(network, data.train, count=3, batch_size=32)
    assert evaluate(network, data.validation).loss < 0.5 * stale
    assert torch.equal(network.get_submodule("0").get_parameter("weight"), weights)


def test_recalibration_without_images_is_refused_and_without_norms_does_nothing(
    make: Make,
) -> None:
    with pytest.raises(InputError, match="at least one batch"):
        recalibrate(make(), [])
    recalibrate(make(plain=True), [])
