import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError
from hdap.networks import criteria
from hdap.networks.criteria import CRITERIA, Evidence, channel_scores, taylor_scores
from hdap.networks.prune_plan import PrunePlan
from hdap.networks.tracing import describe
from hdap.training.datasets import DataOptions
from hdap.training.load_data import load_batches


class Chain(nn.Module):
    """Two convolutions with norms: the second norm sees both outputs, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 3, padding=1)
        self.joined = nn.BatchNorm2d(10)
        self.head = nn.Linear(10, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.first(image)).relu()
        x = self.joined(torch.cat([x, self.second(x)], dim=1)).relu()
        result: Tensor = self.head(x.mean((2, 3)))
        return result


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(0)
    network = Chain().eval()
    for norm in (network.norm, network.joined):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    return network


@pytest.fixture
def chain_plan(chain: Chain) -> PrunePlan:
    architecture = describe(chain, "chain", (3, 8, 8))
    return PrunePlan(architecture, architecture.widths)


def _batches(count: int = 3) -> Iterator[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.randn(4, 3, 8, 8, generator=rng), torch.randint(0, 5, (4,), generator=rng)


@pytest.mark.parametrize("name", CRITERIA)
class TestContract:
    def test_one_finite_number_a_channel(
        self, name: str, chain: Chain, chain_plan: PrunePlan
    ) -> None:
        architecture = chain_plan.architecture
        scores = channel_scores(name, chain, architecture, Evidence(0, list(_batches())))
        assert [len(s) for s in scores] == [g.width for g in architecture.groups]
        assert all(np.isfinite(s).all() and (s >= 0).all() for s in scores)
        assert all(len(np.unique(s)) == len(s) for s in scores)

    def test_the_same_seed_and_batches_give_the_same(
        self, name: str, chain: Chain, chain_plan: PrunePlan
    ) -> None:
        one, two = (
            channel_scores(name, chain, chain_plan.architecture, Evidence(7, list(_batches())))
            for _ in range(2)
        )
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))

    def test_the_network_is_not_changed(
        self, name: str, chain: Chain, chain_plan: PrunePlan
    ) -> None:
        before = copy.deepcopy(chain.state_dict())
        chain.requires_grad_(False)
        channel_scores(name, chain, chain_plan.architecture, Evidence(0, list(_batches())))
        assert all(torch.equal(v, before[k]) for k, v in chain.state_dict().items())
        assert all(p.grad is None and not p.requires_grad for p in chain.parameters())


@pytest.mark.parametrize("name", sorted(CRITERIA.keys() - {"random"}))  # looks at no weights
def test_weights_that_are_not_finite_are_refused(
    name: str, chain: Chain, chain_plan: PrunePlan
) -> None:
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.view(-1)[0] = float("nan")
    with pytest.raises(InputError, match="finite"):
        channel_scores(name, chain, chain_plan.architecture, Evidence(0, list(_batches())))


def test_an_unknown_criterion_names_the_known(chain: Chain, chain_plan: PrunePlan) -> None:
    with pytest.raises(InputError, match="l1, l2, bn_scale, taylor, random"):
        channel_scores("magic", chain, chain_plan.architecture, Evidence())


def test_l1_orders_by_the_sum_of_magnitudes(chain: Chain, chain_plan: PrunePlan) -> None:
    score = channel_scores("l1", chain, chain_plan.architecture, Evidence())[0]
    by_hand = chain.first.weight.detach().abs().sum((1, 2, 3)).double().numpy()
    assert np.allclose(score, by_hand / by_hand.mean())


def test_bn_scale_follows_channels_through_a_concatenation(
    chain: Chain, chain_plan: PrunePlan
) -> None:
    first, second = channel_scores("bn_scale", chain, chain_plan.architecture, Evidence())
    own, joined = (n.weight.detach().double().numpy() for n in (chain.norm, chain.joined))
    joined = joined / joined.mean()
    assert np.allclose(second, joined[6:])
    assert np.allclose(first, (own / own.mean() + joined[:6]) / 2)


def test_bn_scale_without_a_norm_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    architecture = describe(network, "bare", (3, 4, 4))
    with pytest.raises(InputError, match="`0` has none"):
        channel_scores("bn_scale", network, architecture, Evidence())


def test_taylor_is_the_change_of_the_loss_when_a_channel_goes() -> None:
    # A channel that is scaled down a little changes the loss by weight times gradient.
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 3, 1),
        nn.Flatten(),
        nn.Linear(12, 3),
    ).double()
    architecture = describe(network, "small", (3, 2, 2))
    images, target = torch.randn(8, 3, 2, 2, dtype=torch.float64), torch.randint(0, 3, (8,))
    scores = taylor_scores(network, architecture, [(images, target)])[0]
    step = 1e-6
    for channel in range(4):
        losses = []
        for scale in (1 + step, 1 - step):
            moved = copy.deepcopy(network)
            with torch.no_grad():
                moved.get_parameter("0.weight")[channel] *= scale
                losses.append(float(nn.functional.cross_entropy(moved(images), target)))
        assert scores[channel] == pytest.approx(((losses[0] - losses[1]) / (2 * step)) ** 2, 1e-5)


def test_taylor_without_data_says_how_to_give_it(chain: Chain, chain_plan: PrunePlan) -> None:
    with pytest.raises(InputError, match="--data"):
        channel_scores("taylor", chain, chain_plan.architecture, Evidence())


def test_an_endless_loader_ends(
    chain: Chain, chain_plan: PrunePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(criteria, "MAX_BATCHES", 5)
    taken = itertools.count()
    batch = next(_batches())

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            next(taken)
            yield batch

    taylor_scores(chain, chain_plan.architecture, endless())
    assert next(taken) == 5


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one batch"),
        ([torch.zeros(1, 3, 8, 8)], "batch 1 is a Tensor"),
        ([(torch.zeros(1, 3, 8, 8), 4)], "both tensors"),
        ([(torch.zeros(1, 7, 8, 8), torch.zeros(1, dtype=torch.long))], r"\(1, 7, 8, 8\)"),
        ([(torch.zeros(1, 3, 8, 8), torch.tensor([99]))], "targets be classes"),
        ([(torch.full((1, 3, 8, 8), float("nan")), torch.tensor([1]))], "loss must be finite"),
    ],
)
def test_batches_that_do_not_work_are_refused(
    chain: Chain, chain_plan: PrunePlan, batches: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        taylor_scores(chain, chain_plan.architecture, batches)


def test_batches_come_from_a_factory(tiny_model: str) -> None:
    images, target = next(iter(load_batches("tinynets:batches")))
    assert (images.shape, target.shape) == ((4, 3, 32, 32), (4,))


def test_batches_of_data_sets_are_of_the_training_part_and_the_same_every_time() -> None:
    found = load_batches("hdap.examples.digits:digits")
    (images, target), again = next(iter(found)), next(iter(found))
    assert (images.shape, target.shape) == ((32, 1, 8, 8), (32,))
    assert torch.equal(images, again[0])
    assert sum(len(batch[1]) for batch in found) == 1347


def test_batches_come_from_a_folder_of_images(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(5):
            Image.new("RGB", (12, 12), (20 * i, 0, 0)).save(tmp_path / label / f"{i}.png")
    options = DataOptions(input_shape=(3, 8, 8), augment=False)
    images, target = next(iter(load_batches(str(tmp_path), options)))
    assert images.shape == (9, 3, 8, 8)
    assert set(target.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tinynets", "package.module:factory"),
        ("nowhere:batches", "ModuleNotFoundError"),
        ("tinynets:nothing", "no such name"),
        ("tinynets:tiny", "an iterable of"),
    ],
)
def test_a_data_factory_that_does_not_work_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_batches(name)
