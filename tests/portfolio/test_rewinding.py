import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.prune import random_unstructured
from torch.utils.data import TensorDataset

from hdap.examples.networks import small_resnet
from hdap.fleet_data.errors import DivergedError, InputError
from hdap.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, start_network
from hdap.networks.loading import load_model
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.tracing import describe
from hdap.portfolio.magnitude import apply_masks, masks_in, prunable, without_smallest
from hdap.portfolio.rewinding import go_on, train_levels
from hdap.portfolio.sparse_checkpoint import read_sparse
from hdap.portfolio.sparse_training import SparseLevelRecord, read_record
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import SparseTraining
from hdap.training.datasets import Data
from hdap.training.training_loop import train
from hdap.training.training_session import TrainingWatch

MODEL = "hdap.examples.networks:small_vgg"
RECIPE = Recipe(epochs=3, batch_size=32, lr=0.05, seed=3)


def _samples(count: int, seed: int) -> TensorDataset:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = 0.3 * torch.randn(count, 1, 8, 8, generator=rng)
    images[torch.arange(count), 0, labels] += 1.0  # the class is the brightest row
    return TensorDataset(images, labels)


DATA = Data(_samples(64, 0), _samples(40, 1), 3)


def _wanted(out: Path, **changed: object) -> SparseTraining:
    asked = SparseTraining(out, "test:rows", RECIPE, levels=3, rate=0.5)
    return replace(asked, **changed)  # type: ignore[arg-type]


def _silent(level: int) -> TrainingWatch:
    return TrainingWatch()


def _start(seed: int = RECIPE.seed) -> Checkpoint:
    return start_network(None, MODEL, WeightsSource(seed=seed), seed)


def _train(wanted: SparseTraining, *, force: bool = False) -> list[SparseLevelRecord]:
    return list(train_levels(_start(), DATA, wanted, _silent, force=force))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sparse levels, trained in one go."""
    out = tmp_path_factory.mktemp("sparse") / "out"
    _train(_wanted(out))
    return out


def _same(one: Path, other: Path) -> None:
    left, right = (load_checkpoint(path, model=MODEL).module.state_dict() for path in (one, other))
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=0, atol=0)


def test_every_level_keeps_half_of_the_weights_of_the_one_before(whole: Path) -> None:
    levels = read_sparse(whole, MODEL)
    assert [level.name for level in levels] == ["level-00", "level-01", "level-02", "level-03"]
    names = prunable(describe(levels[0].checkpoint.module, MODEL, (1, 8, 8)))
    left = [
        sum(int(mask.sum()) for mask in masks_in(level.checkpoint.module, names).values())
        for level in levels
    ]
    for before, after in pairwise(left):
        assert after == before - round(0.5 * before)
    assert [level.density for level in levels] == [count / left[0] for count in left]


def test_what_one_level_lost_no_later_one_has(whole: Path) -> None:
    networks = [level.checkpoint.module for level in read_sparse(whole, MODEL)]
    names = prunable(describe(networks[0], MODEL, (1, 8, 8)))
    masks = [masks_in(network, names) for network in networks]
    for before, after in pairwise(masks):
        assert not any((after[name] & ~before[name]).any() for name in names)


def test_the_output_layer_norms_and_biases_stay_dense(whole: Path) -> None:
    last = read_sparse(whole, MODEL)[-1].checkpoint.module
    assert (last.get_submodule("classifier").get_parameter("weight") != 0).all()
    for name, parameter in last.named_parameters():
        if parameter.dim() == 1:
            assert (parameter != 0).any(), name


def test_the_rewind_point_is_what_a_training_of_so_many_epochs_has(tmp_path: Path) -> None:
    for rewind in (0, 1):
        wanted = _wanted(tmp_path / str(rewind), levels=1, rewind=rewind)
        _train(wanted)
        expected = _start().module
        if rewind:
            with pytest.raises(_StoppedError):
                train(expected, DATA, RECIPE, on_epoch=_stop)
        there = load_checkpoint(wanted.out / "rewind", model=MODEL).module
        for name, tensor in expected.state_dict().items():
            torch.testing.assert_close(tensor, there.state_dict()[name], rtol=0, atol=0)


class _StoppedError(Exception):
    pass


def _stop(*told: object) -> None:
    raise _StoppedError


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(
    whole: Path, tmp_path: Path
) -> None:
    wanted = _wanted(tmp_path / "out")
    levels = train_levels(_start(), DATA, wanted, _silent)
    first = [next(levels), next(levels)]
    del levels  # as if the process had ended
    rest = list(go_on(DATA, wanted, _silent, model=MODEL))
    assert [level.name for level in rest] == ["level-02", "level-03"]
    for level in [*first, *rest]:
        _same(whole / level.name, wanted.out / level.name)
    accuracies = [level.accuracy for level in read_record(whole).levels]
    assert [level.accuracy for level in read_record(wanted.out).levels] == accuracies


def test_more_levels_may_follow_later(whole: Path, tmp_path: Path) -> None:
    few = _wanted(tmp_path / "out", levels=1)
    _train(few)
    list(go_on(DATA, replace(few, levels=3), _silent, model=MODEL))
    _same(whole / "level-03", few.out / "level-03")


def test_in_the_scope_of_a_layer_each_loses_its_part(tmp_path: Path) -> None:
    wanted = _wanted(tmp_path / "out", levels=1, scope="layer")
    _train(wanted)
    network = read_sparse(wanted.out, MODEL)[1].checkpoint.module
    names = prunable(describe(network, MODEL, (1, 8, 8)))
    for name, mask in masks_in(network, names).items():
        assert int(mask.sum()) == mask.numel() - round(0.5 * mask.numel()), name


def test_the_smallest_weights_go_first_and_a_layer_never_empties() -> None:
    network = small_resnet()
    names = prunable(describe(network, "test", (1, 8, 8)))
    with torch.no_grad():
        network.get_parameter(names[3]).mul_(1e-6)
    masks = without_smallest(network, names, 0.6, "global")
    assert int(masks[names[3]].sum()) == 1
    others = [name for name in names if name != names[3]]
    kept = torch.cat([network.get_parameter(n).detach().abs()[masks[n]] for n in others])
    lost = torch.cat([network.get_parameter(n).detach().abs()[~masks[n]] for n in others])
    assert lost.max() <= kept.min()
    apply_masks(network, masks)
    again = masks_in(network, names)
    assert all((again[name] == masks[name]).all() for name in names)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"levels": 0}, "`levels >= 1`"),
        ({"rate": 1.0}, "`0 < rate < 1`"),
        ({"rewind": 3}, "`0 <= rewind < 3 epochs`"),
        ({"scope": "filter"}, "`scope is one of global, layer`"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        _wanted(Path("out"), **changed)


def test_a_folder_that_holds_a_training_is_replaced_only_on_demand(tmp_path: Path) -> None:
    wanted = _wanted(tmp_path / "out", levels=2)
    _train(wanted)
    with pytest.raises(InputError, match="--force"):
        _train(wanted)
    _train(_wanted(tmp_path / "out", levels=1), force=True)
    assert {path.name for path in wanted.out.iterdir()} == {
        "level-00",
        "level-01",
        "rewind",
        "portfolio-training.json",
    }
    (wanted.out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt"):
        _train(wanted, force=True)
    assert (wanted.out / "level-01").is_dir()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"rate": 0.3}, "with rate=0.5, but got 0.3"),
        ({"recipe": replace(RECIPE, lr=0.1)}, "with lr=0.05, but got 0.1"),
        ({"data": "other:data"}, "with data='test:rows'"),
        ({}, "has all 3"),
    ],
)
def test_a_training_goes_on_only_as_it_began(
    whole: Path, changed: dict[str, object], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        go_on(DATA, _wanted(whole, **changed), _silent, model=MODEL)


def test_other_data_of_the_same_name_is_refused(tmp_path: Path) -> None:
    wanted = _wanted(tmp_path / "out", levels=1)
    _train(wanted)
    other = Data(_samples(60, 0), _samples(40, 1), 3)
    with pytest.raises(InputError, match="64 images"):
        go_on(other, replace(wanted, levels=2), _silent, model=MODEL)


def test_code_of_the_user_runs_only_when_it_is_named(whole: Path) -> None:
    with pytest.raises(InputError, match="runs only"):
        go_on(DATA, _wanted(whole, levels=4), _silent)


def test_a_loss_that_runs_away_names_the_level(tmp_path: Path) -> None:
    wild = replace(RECIPE, lr=1e6, schedule="constant")
    with pytest.raises(DivergedError, match=r"level-00: .* holds the 0 levels before"):
        _train(_wanted(tmp_path / "out", recipe=wild))


def test_a_sparse_checkpoint_of_the_users_own_is_read(whole: Path, tmp_path: Path) -> None:
    (level,) = read_sparse(whole / "level-02", MODEL)
    assert 0.2 < level.density < 0.3
    assert level.train_seconds is None
    file = tmp_path / "mine.pt"
    torch.save(level.checkpoint.module.state_dict(), file)
    (again,) = read_sparse(file, MODEL)
    assert (again.name, again.density) == ("mine", level.density)


def test_weights_beside_their_masks_are_masked(tmp_path: Path) -> None:
    network = load_model(MODEL).module
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            random_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]
    torch.save(network.state_dict(), tmp_path / "pruned.pt")
    (level,) = read_sparse(tmp_path / "pruned.pt", MODEL)
    found = level.checkpoint.module.get_submodule("features.1.0").get_parameter("weight")
    torch.testing.assert_close(found, network.get_submodule("features.1.0").weight)


def test_a_mask_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    state = load_model(MODEL).module.state_dict()
    state["features.1.0.weight_orig"] = state.pop("features.1.0.weight")
    state["features.1.0.weight_mask"] = torch.ones(16, 32, 3, 3)
    torch.save(state, tmp_path / "masked.pt")
    with pytest.raises(InputError, match=r"features\.1\.0\.weight_mask"):
        read_sparse(tmp_path / "masked.pt", MODEL)


def test_weights_of_another_model_are_refused_by_name(whole: Path, tmp_path: Path) -> None:
    torch.save(small_resnet().state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"missing \(features\.1\.0\.weight"):
        read_sparse(tmp_path / "other.pt", MODEL)


def test_a_dense_network_is_no_sparse_one(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at least 1% .* 0\.00% are"):
        read_sparse(whole / "level-00", MODEL)
    start = _start()
    save_checkpoint(tmp_path / "dense", start.module, start.manifest)
    with pytest.raises(InputError, match=r"0\.00%"):
        read_sparse(tmp_path / "dense", MODEL)


def test_a_weights_file_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --model"):
        read_sparse(tmp_path / "some.pt", None)


def test_a_damaged_record_is_one_line(whole: Path, tmp_path: Path) -> None:
    record = json.loads((whole / "portfolio-training.json").read_text())
    del record["levels"][0]["density"]
    (tmp_path / "portfolio-training.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"portfolio-training\.json must .* `density`"):
        read_sparse(tmp_path, MODEL)


def test_a_training_stopped_before_its_first_level_has_none(whole: Path, tmp_path: Path) -> None:
    record = json.loads((whole / "portfolio-training.json").read_text())
    (tmp_path / "portfolio-training.json").write_text(json.dumps(record | {"levels": []}))
    with pytest.raises(InputError, match="must hold a level that is complete"):
        read_sparse(tmp_path, MODEL)
    with pytest.raises(InputError, match="has none"):
        go_on(DATA, _wanted(tmp_path), _silent, model=MODEL)
