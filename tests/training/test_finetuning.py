import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hdap.fleet_data.errors import DivergedError, InputError
from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hdap.networks.criteria import Evidence
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import prune_planned
from hdap.networks.tracing import trace
from hdap.requests.recipe import Recipe
from hdap.requests.training_request import TrainingRequest
from hdap.training.datasets import Data
from hdap.training.finetuning import fine_tune, load_teacher, quality_before, resumable
from hdap.training.training_session import TrainingWatch, begun_tuning
from hdap.training.training_state import Snapshot

MODEL = "tunednets:small"
CODE = """
from torch import nn

def small():
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(32, 3),
    )
    network.input_shape = (1, 6, 6)
    return network
"""
RECIPE = Recipe(epochs=3, batch_size=16, lr=0.05, recalibration=2)


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "tunednets.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("tunednets", None)


@pytest.fixture
def pruned(tmp_path: Path) -> Path:
    architecture = trace(MODEL)
    plan = PrunePlan(architecture, np.array([12, 8]))
    made = prune_planned(plan, WeightsSource(), "l2", Evidence())
    save_checkpoint(tmp_path / "pruned", made.module, made.manifest)
    return tmp_path / "pruned"


@pytest.fixture
def wanted(tmp_path: Path) -> TrainingRequest:
    return TrainingRequest(tmp_path / "tuned", "somewhere:data", RECIPE)


def _start(pruned: Path) -> Checkpoint:
    return load_checkpoint(pruned, model=MODEL)


def _resumable(wanted: TrainingRequest) -> tuple[Checkpoint, Snapshot]:
    return resumable(wanted, model=MODEL)


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


class _StoppedError(Exception):
    pass


def _stop_after(epoch: int) -> TrainingWatch:
    def stop(done: object) -> None:
        if getattr(done, "number", 0) == epoch:
            raise _StoppedError

    return TrainingWatch(on_epoch=stop)


def test_the_checkpoint_says_how_it_was_tuned_and_loads_to_the_same_network(
    pruned: Path, wanted: TrainingRequest, data: Data
) -> None:
    done, history = fine_tune(_start(pruned), data, wanted, TrainingWatch())
    read = load_checkpoint(wanted.out, model=MODEL)
    assert read.manifest == done.manifest
    before = load_checkpoint(pruned, model=MODEL).manifest
    same = {"channels", "flops", "criterion", "weights_sha256", "origin", "architecture"}
    assert all(getattr(read.manifest, name) == getattr(before, name) for name in same)
    (tuning,) = read.manifest.tunings
    assert (tuning.epochs, tuning.accuracy) == (3, history.last.accuracy)
    assert (tuning.images, tuning.validation_images) == (96, 60)
    assert tuning.recipe == RECIPE
    images = torch.stack([data.validation[i][0] for i in range(4)])
    with torch.no_grad():
        assert torch.equal(read.module(images), done.module(images))


def test_a_stopped_run_goes_on_to_bit_equal_numbers(
    pruned: Path, wanted: TrainingRequest, data: Data, tmp_path: Path
) -> None:
    whole, history = fine_tune(
        _start(pruned), data, replace(wanted, out=tmp_path / "w"), TrainingWatch()
    )
    with pytest.raises(_StoppedError):
        fine_tune(_start(pruned), data, wanted, _stop_after(2))
    there, snapshot = _resumable(wanted)
    resumed, epochs = fine_tune(there, data, wanted, TrainingWatch(), resume=snapshot)
    first, second = _weights(whole.module), _weights(resumed.module)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [e.accuracy for e in epochs.epochs] == [e.accuracy for e in history.epochs]
    assert len(resumed.manifest.tunings) == 1


def test_a_tuned_network_can_be_tuned_further(
    pruned: Path, wanted: TrainingRequest, data: Data, tmp_path: Path
) -> None:
    fine_tune(_start(pruned), data, wanted, TrainingWatch())
    further = replace(wanted, out=tmp_path / "further", recipe=replace(RECIPE, epochs=1))
    done, _ = fine_tune(load_checkpoint(wanted.out, model=MODEL), data, further, TrainingWatch())
    assert [t.epochs for t in done.manifest.tunings] == [3, 1]


def test_epochs_are_rows_of_a_run_with_a_name_of_its_own(
    pruned: Path, wanted: TrainingRequest, data: Data, tmp_path: Path
) -> None:
    with Store.open(str(tmp_path / "hdap.db")) as store:
        fine_tune(_start(pruned), data, wanted, TrainingWatch(store=store))
        other = replace(wanted, out=tmp_path / "other" / "tuned")
        _, history = fine_tune(_start(pruned), data, other, TrainingWatch(store=store))
        assert store.training_runs() == ("tuned", "tuned-2")
        rows = store.epochs("tuned-2")
    assert [r.epoch for r in rows] == [1, 2, 3]
    assert [r.accuracy for r in rows] == [e.accuracy for e in history.epochs]
    assert {(r.model, r.seed, r.checkpoint) for r in rows} == {(MODEL, 0, str(other.out))}


def test_a_full_disk_leaves_the_last_good_checkpoint(
    pruned: Path,
    wanted: TrainingRequest,
    data: Data,
    full_disk: Callable[[], AbstractContextManager[None]],
) -> None:
    with pytest.raises(_StoppedError):
        fine_tune(_start(pruned), data, wanted, _stop_after(1))
    good = {file.name: file.read_bytes() for file in wanted.out.iterdir()}
    there, snapshot = _resumable(wanted)
    with full_disk(), pytest.raises(InputError) as caught:
        fine_tune(there, data, wanted, TrainingWatch(), resume=snapshot)
    assert "must be writable" in str(caught.value)
    assert "holds the last good checkpoint, of epoch 1" in str(caught.value)
    assert {file.name: file.read_bytes() for file in wanted.out.iterdir()} == good
    assert {path.name for path in wanted.out.parent.iterdir()} == {"pruned", "tuned"}


def test_a_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(
    pruned: Path, wanted: TrainingRequest, data: Data
) -> None:
    start, untouched = _start(pruned), replace(wanted, recipe=replace(RECIPE, recalibration=0))
    nn.init.constant_(start.module.get_submodule("0").get_parameter("weight"), float("inf"))
    with pytest.raises(DivergedError, match=r"step 1 of 6 of epoch 1.*nothing was written"):
        fine_tune(start, data, untouched, TrainingWatch())
    assert not wanted.out.exists()
    with pytest.raises(_StoppedError):
        fine_tune(_start(pruned), data, wanted, _stop_after(1))
    there, snapshot = _resumable(wanted)
    broken = {
        k: v * float("nan") if v.is_floating_point() else v for k, v in snapshot.module.items()
    }
    worse = Snapshot(broken, snapshot.optimizer, snapshot.scaler, snapshot.epochs)
    with pytest.raises(DivergedError, match=r"epoch 2; .*last good checkpoint, of epoch 1"):
        fine_tune(there, data, wanted, TrainingWatch(), resume=worse)
    assert load_checkpoint(wanted.out, model=MODEL).manifest.tunings[-1].epochs == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"recipe": replace(RECIPE, lr=0.1)}, "lr=0.05, but got 0.1"),
        ({"data": "elsewhere:data"}, "data='somewhere:data'"),
        ({"teacher": "dense.pt"}, "teacher=''"),
    ],
)
def test_a_run_goes_on_only_as_it_began(
    pruned: Path, wanted: TrainingRequest, data: Data, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(_StoppedError):
        fine_tune(_start(pruned), data, wanted, _stop_after(1))
    with pytest.raises(InputError, match=message):
        _resumable(replace(wanted, **changed))  # type: ignore[arg-type]


def test_a_run_goes_on_with_as_many_images_as_it_began_with(
    pruned: Path, wanted: TrainingRequest, data: Data
) -> None:
    with pytest.raises(_StoppedError):
        fine_tune(_start(pruned), data, wanted, _stop_after(1))
    there, snapshot = _resumable(wanted)
    fewer = Data(data.validation, data.validation, 3)
    with pytest.raises(InputError, match="96 images and 60 to judge by, but got 60"):
        fine_tune(there, fewer, wanted, TrainingWatch(), resume=snapshot)


def test_what_cannot_be_resumed_says_so(pruned: Path, wanted: TrainingRequest, data: Data) -> None:
    with pytest.raises(InputError, match="it cannot be read"):
        _resumable(wanted)
    with pytest.raises(InputError, match="holds none"):
        _resumable(replace(wanted, out=pruned))
    fine_tune(_start(pruned), data, wanted, TrainingWatch())
    with pytest.raises(InputError, match="has all 3"):
        _resumable(wanted)
    longer = replace(wanted, recipe=replace(RECIPE, epochs=4))
    (wanted.out / "training.pt").write_bytes(b"cut")
    with pytest.raises(InputError, match="epochs=3, but got 4"):
        _resumable(longer)
    assert begun_tuning(pruned) is None


def test_a_state_that_is_cut_is_one_line(pruned: Path, wanted: TrainingRequest, data: Data) -> None:
    with pytest.raises(_StoppedError):
        fine_tune(_start(pruned), data, wanted, _stop_after(1))
    (wanted.out / "training.pt").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"training\.pt must hold the state"):
        _resumable(wanted)


def test_the_dense_model_teaches(
    pruned: Path, wanted: TrainingRequest, data: Data, tmp_path: Path
) -> None:
    from hdap.networks.loading import load_model

    torch.save(load_model(MODEL).module.state_dict(), tmp_path / "dense.pt")
    taught = replace(wanted, teacher=str(tmp_path / "dense.pt"))
    start = _start(pruned)
    teacher = load_teacher(start.manifest, taught.teacher)
    assert teacher is not None
    assert teacher.get_submodule("0").get_parameter("weight").shape[0] == 16
    done, _ = fine_tune(start, data, taught, TrainingWatch())
    assert done.manifest.tunings[-1].teacher == taught.teacher
    with pytest.raises(InputError, match="weights file must exist"):
        load_teacher(start.manifest, str(tmp_path / "nothing.pt"))


def test_quality_before_is_that_of_recalibrated_norms(
    pruned: Path, wanted: TrainingRequest, data: Data
) -> None:
    start = _start(pruned)
    before = _weights(start.module)["1.running_mean"]
    found = quality_before(start, data, wanted)
    assert found.images == 60
    assert not torch.equal(start.module.state_dict()["1.running_mean"], before)


OWN_LOSS = """
from torch.nn import functional

def loss(network, batch):
    images, labels = batch
    return functional.cross_entropy(network(images), labels)

def right(network, batches):
    found = [network(images).argmax(1) == labels for images, labels in batches]
    return float(sum(x.sum() for x in found)) / sum(len(x) for x in found)
"""


@pytest.fixture
def own_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "ownloss.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("ownloss", None)


@pytest.mark.usefixtures("own_loss")
@pytest.mark.parametrize("metric", ["", "ownloss:right"])
def test_a_checkpoint_says_by_whose_loss_it_was_tuned_and_no_accuracy_that_nobody_saw(
    pruned: Path, wanted: TrainingRequest, data: Data, tmp_path: Path, metric: str
) -> None:
    own = replace(wanted, loss="ownloss:loss", metric=metric)
    with Store.open(str(tmp_path / "hdap.db")) as store:
        _, history = fine_tune(_start(pruned), data, own, TrainingWatch(store=store))
        (row,) = store.query("SELECT accuracy IS NULL, metric FROM epochs WHERE epoch = 3").rows
        assert store.epochs("tuned")[-1].metric == metric
    (tuning,) = load_checkpoint(own.out, model=MODEL).manifest.tunings
    assert (tuning.loss, tuning.metric) == ("ownloss:loss", metric)
    assert tuning.validation_loss == history.last.validation_loss
    assert tuning.accuracy == (history.last.accuracy if metric else None)
    assert row == (0 if metric else 1, metric)
