import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from hdap.elastic import load_elastic
from hdap.elastic.elastic_checkpoint import load_elastic_checkpoint
from hdap.elastic.elastic_model import ElasticModel
from hdap.elastic.elastic_training import (
    ElasticResult,
    go_on,
    judge,
    train_elastic,
    unfinished,
)
from hdap.elastic.levels import Levels, uniform_levels
from hdap.elastic.masks import SoftMasks
from hdap.elastic.modes import incremental, nested, split_epochs
from hdap.fleet_data.errors import InputError
from hdap.networks.loading import load_model
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest, load_seeded
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import MODES, ElasticTraining
from hdap.training.datasets import Data
from hdap.training.training_loop import train
from hdap.training.training_session import TrainingWatch
from hdap.training.training_state import Epoch

MODEL = "elasticnets:tiny"
CODE = """
from torch import nn

class Tiny(nn.Module):
    input_shape = (1, 6, 6)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.first = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.second = nn.BatchNorm2d(12)
        self.outer = nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8 * 9, 3)

    def forward(self, images):
        x = self.first(self.stem(images)).relu()
        x = x + self.outer(self.second(self.inner(x)).relu())
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))

def tiny():
    return Tiny()
"""
RECIPE = Recipe(epochs=6, batch_size=32, lr=0.15, recalibration=2)


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "elasticnets.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("elasticnets", None)


def _samples(count: int, seed: int) -> TensorDataset:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = 0.5 * torch.randn(count, 1, 6, 6, generator=rng)
    images[torch.arange(count), 0, labels] += 1.0  # the class is the brightest row
    return TensorDataset(images, labels)


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(_samples(96, 0), _samples(60, 1), 3)


@pytest.fixture(scope="module")
def images(data: Data) -> Tensor:
    return torch.stack([data.validation[i][0] for i in range(10)])


def _network() -> nn.Module:
    return load_seeded(MODEL, WeightsSource(seed=1)).module


def _levels(*budgets: str) -> Levels:
    network = load_model(MODEL, device="meta").module
    return uniform_levels(describe(network, MODEL, (1, 6, 6)), budgets or ("20%", "50%", "100%"))


@pytest.fixture
def make() -> Callable[[], ElasticModel]:
    return lambda: ElasticModel(_network(), _levels().architecture, _levels())


def _train(out: Path, data: Data, mode: str, watch: TrainingWatch | None = None) -> ElasticResult:
    levels, network = _levels(), _network()
    base = dense_manifest(levels.architecture, network, WeightsSource(seed=1), 1)
    wanted = ElasticTraining(out, "rows", RECIPE, mode=mode)
    return train_elastic(network, base, levels, data, wanted, watch or TrainingWatch())


@torch.no_grad()
def _outputs(model: ElasticModel, images: Tensor) -> list[Tensor]:
    found = []
    for level in range(len(model.levels)):
        model.set_level(level)
        found.append(model.eval()(images))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_every_level_learns_and_comes_back_from_the_checkpoint(
    tmp_path: Path, data: Data, images: Tensor, mode: str
) -> None:
    told: list[Epoch] = []
    done = _train(tmp_path / "out", data, mode, TrainingWatch(on_epoch=told.append))
    assert [e.number for e in told] == [1, 2, 3, 4, 5, 6]
    assert min(q.accuracy for q in done.qualities) > 0.5  # chance is a third
    if mode != "incremental":  # which has two epochs a level
        assert done.qualities[-1].accuracy > 0.8
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"model.json", "model.safetensors"}
    again = load_elastic_checkpoint(tmp_path / "out", model=MODEL)
    assert again.manifest == done.checkpoint.manifest
    assert again.manifest.mode == mode
    assert list(again.manifest.accuracies) == [q.accuracy for q in done.qualities]
    for one, other in zip(
        _outputs(done.checkpoint.model, images), _outputs(again.model, images), strict=True
    ):
        assert torch.equal(one, other)


def test_the_same_seed_gives_the_same_network(tmp_path: Path, data: Data, images: Tensor) -> None:
    for mode in MODES:
        one, other = (_train(tmp_path / f"{mode}{i}", data, mode) for i in (0, 1))
        for a, b in zip(
            _outputs(one.checkpoint.model, images),
            _outputs(other.checkpoint.model, images),
            strict=True,
        ):
            assert torch.equal(a, b)


def test_lower_levels_stay_bit_for_bit_while_later_groups_are_trained(
    make: Callable[[], ElasticModel], data: Data, images: Tensor
) -> None:
    model, recipe = make(), replace(RECIPE, epochs=2, weight_decay=0.01, recalibration=0)
    for level in range(3):
        before = _outputs(model, images)
        stage = incremental(model, recipe, level)
        train(model, data, recipe, losses=stage.losses, after_step=stage.after_step)
        after = _outputs(model, images)
        for lower in range(level):
            assert torch.equal(before[lower], after[lower])
        assert not torch.equal(before[level], after[level])


def test_without_freezing_lower_levels_would_change(
    make: Callable[[], ElasticModel], data: Data, images: Tensor
) -> None:
    model, recipe = make(), replace(RECIPE, epochs=1, recalibration=0)
    before = _outputs(model, images)
    train(model, data, recipe, losses=incremental(model, recipe, 2).losses)
    assert not torch.equal(before[0], _outputs(model, images)[0])


def test_a_lower_level_is_a_prefix_of_a_higher_one(make: Callable[[], ElasticModel]) -> None:
    model = make()
    low, high = (dict(model.materialise(i).named_parameters()) for i in (0, 2))
    for name in ("stem.weight", "inner.weight", "outer.weight", "stem.bias"):
        part = high[name][tuple(slice(n) for n in low[name].shape)]
        assert torch.equal(low[name], part)


class _Stop(Exception):
    pass


CUTS = [("nested", 2), ("incremental", 3), ("masked", 1), ("masked", 2), ("masked", 4)]
"""A mode and the epoch after which it is stopped; masks are learned in the first two."""


@pytest.mark.parametrize(("mode", "last"), CUTS)
def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(
    tmp_path: Path, data: Data, images: Tensor, mode: str, last: int
) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == last:
            raise _Stop

    whole = _train(tmp_path / "whole", data, mode)
    with pytest.raises(_Stop):
        _train(tmp_path / "cut", data, mode, TrainingWatch(on_epoch=stop))
    wanted = ElasticTraining(tmp_path / "cut", "rows", RECIPE, mode=mode)
    begun = unfinished(wanted, model=MODEL)
    resumed = go_on(begun, data, wanted, TrainingWatch())
    assert [e.number for e in resumed.epochs] == list(range(last + 1, 7))
    for a, b in zip(
        _outputs(whole.checkpoint.model, images),
        _outputs(resumed.checkpoint.model, images),
        strict=True,
    ):
        assert torch.equal(a, b)
    with pytest.raises(InputError, match="is complete"):
        unfinished(wanted, model=MODEL)


def test_a_training_goes_on_only_as_it_began(tmp_path: Path, data: Data) -> None:
    def stop(epoch: Epoch) -> None:
        raise _Stop

    with pytest.raises(_Stop):
        _train(tmp_path / "cut", data, "nested", TrainingWatch(on_epoch=stop))
    wanted = ElasticTraining(tmp_path / "cut", "rows", RECIPE, mode="nested")
    with pytest.raises(InputError, match="with --mode nested, but got masked"):
        unfinished(replace(wanted, mode="masked"), model=MODEL)
    with pytest.raises(InputError, match=r"with lr=0\.15, but got 0\.1"):
        unfinished(replace(wanted, recipe=replace(RECIPE, lr=0.1)), model=MODEL)


def test_narrow_levels_imitate_the_widest(
    make: Callable[[], ElasticModel], data: Data, images: Tensor
) -> None:
    model, recipe = make(), replace(RECIPE, epochs=12, distillation=1.0, temperature=1.0)
    assert judge(model, data)[0].accuracy < 0.7
    train(model, data, recipe, losses=nested(model, recipe).losses)
    # of labels the narrowest has seen nothing
    assert judge(model, data)[0].accuracy > 0.8


def test_masks_are_nested_and_become_the_levels(data: Data) -> None:
    levels, network = _levels(), _network()
    scores = lookahead_scores(network, levels.architecture)
    masks = SoftMasks(network, levels, scores)
    masks.width = 1e-4
    found = []
    for level, counts in enumerate(levels.counts):
        masks.level = level
        hard = [masks._mask(i) for i in range(len(counts))]
        assert [int((mask > 0.5).sum()) for mask in hard] == counts.tolist()
        found.append(torch.cat(hard))
    assert (found[0] <= found[1] + 1e-3).all()
    assert (found[1] <= found[2] + 1e-3).all()


@torch.no_grad()
def test_a_hard_mask_computes_what_the_pruned_network_does(images: Tensor) -> None:
    levels, network = _levels(), _network()
    scores = lookahead_scores(network, levels.architecture)
    expected = [prune(network, levels.architecture, row, scores)(images) for row in levels.counts]
    masks = SoftMasks(network, levels, scores)
    masks.width = 1e-5
    for level, wanted in enumerate(expected):
        masks.level = level
        torch.testing.assert_close(masks.eval()(images), wanted, rtol=1e-4, atol=1e-5)


def test_scores_are_learned(data: Data) -> None:
    levels, network = _levels(), _network()
    masks = SoftMasks(network, levels, lookahead_scores(network, levels.architecture))
    masks.level = 0
    images, labels = data.train[0][0][None], torch.tensor([int(data.train[0][1])])
    torch.autograd.backward(nn.functional.cross_entropy(masks(images), labels))
    assert all(score.grad is not None and score.grad.abs().sum() > 0 for score in masks.learned)


@pytest.mark.parametrize(
    ("mode", "levels", "epochs", "expected"),
    [
        ("nested", 4, 7, (7,)),
        ("masked", 4, 10, (3, 7)),
        ("masked", 2, 2, (1, 1)),
        ("incremental", 3, 10, (3, 3, 4)),
    ],
)
def test_epochs_are_divided_among_stages(
    mode: str, levels: int, epochs: int, expected: tuple[int, ...]
) -> None:
    assert split_epochs(mode, levels, Recipe(epochs=epochs)) == expected


@pytest.mark.parametrize(
    ("mode", "levels", "epochs", "message"),
    [
        ("soft", 3, 9, "one of nested, masked, incremental, but got 'soft'"),
        ("nested", 1, 9, "two levels or more, but got 1"),
        ("incremental", 5, 4, "needs 5 epochs or more, but got 4"),
        ("masked", 5, 1, "needs 2 epochs or more, but got 1"),
    ],
)
def test_what_no_mode_can_train_is_refused(
    mode: str, levels: int, epochs: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        split_epochs(mode, levels, Recipe(epochs=epochs))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: Data) -> Path:
    out = tmp_path_factory.mktemp("elastic") / "out"
    _train(out, data, "nested")
    return out


def test_the_code_of_a_factory_runs_only_when_named(folder: Path) -> None:
    with pytest.raises(InputError, match="runs only when you name it"):
        load_elastic(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["levels"].reverse(), "every level must be a prefix of the next"),
        (lambda raw: raw["levels"][0].pop("stem"), "differs in stem"),
        (lambda raw: raw["levels"].pop(), "must hold exactly"),
        (lambda raw: raw.pop("levels"), r"a key that is unknown, `\$.mode`"),
        (
            lambda raw: [
                raw.pop(name) for name in ("levels", "mode", "stage", "stages", "accuracies")
            ],
            "names no levels",
        ),
        (lambda raw: raw.update(levels=[3]), r"`\$.levels\[0\]` is 3: expected `object`"),
        (lambda raw: raw.update(stage="x"), r"`\$.stage` is \"x\": expected `int`"),
    ],
)
def test_a_checkpoint_that_is_wrong_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, object]], None], message: str
) -> None:
    raw = json.loads((folder / "model.json").read_text())
    change(raw)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "model.json").write_text(json.dumps(raw))
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=message):
        load_elastic(copy, model=MODEL)
