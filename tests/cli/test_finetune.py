import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import Result

from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import load_checkpoint

Hdap = Callable[..., Result]
MODEL = "finetunenets:small"
CODE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def small():
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(32, 3),
    )
    network.input_shape = (1, 6, 6)
    return network

def rows(count=96, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = 0.3 * torch.randn(count, 1, 6, 6, generator=rng)
    images[torch.arange(count), 0, labels * 2] += 1.5
    return TensorDataset(images, labels), None
"""
PRUNE = ("prune", "--model", MODEL, "--channels", "0=12;2=8", "--out", "pruned")
TUNE = ("finetune", "pruned", "--model", MODEL, "--data", "finetunenets:rows", "--epochs", "2")
FAST = ("--batch-size", "16", "--lr", "0.05")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hdap: Hdap) -> Path:
    (tmp_path / "finetunenets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "finetunenets", raising=False)
    done = hdap(*PRUNE)
    assert done.exit_code == 0, done.output
    return tmp_path


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "Traceback" not in done.output
    return line


def test_a_pruned_network_is_tuned_and_its_epochs_are_rows(hdap: Hdap, here: Path) -> None:
    db = here / "hdap.db"
    done = hdap(*TUNE, *FAST, "--out", "tuned", "--tensorboard", "board", "--json", db=db)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["accuracy"] == found["epochs"][-1]["accuracy"] > found["before"]["accuracy"]
    assert load_checkpoint(here / "tuned", model=MODEL).manifest.tunings[0].run == "tuned"
    with Store.open(str(db)) as store:
        rows = store.epochs("tuned")
    assert [r.train_loss for r in rows] == [e["train_loss"] for e in found["epochs"]]
    assert list((here / "board").glob("events*"))


def test_a_person_reads_what_was_before_and_what_comes_next(hdap: Hdap, here: Path) -> None:
    done = hdap(*TUNE, *FAST, "--out", "tuned", "--epochs", "1", db=here / "hdap.db")
    assert done.exit_code == 0, done.output
    assert "as pruned" in done.stdout
    assert "after 1 epoch" in done.stdout
    assert f"next: hdap export tuned --format onnx --out tuned.onnx --model {MODEL}" in done.stdout
    assert "72 images to learn from" not in done.stderr
    assert "86 images to learn from, 10 to judge by, 3 classes" in done.stderr


def test_a_complete_run_is_not_resumed_and_a_new_one_replaces_nothing(
    hdap: Hdap, here: Path
) -> None:
    db = here / "hdap.db"
    tuned = hdap(*TUNE, *FAST, "--out", "tuned", "--resume", db=db)
    assert tuned.exit_code == 0, tuned.output
    assert "tuned holds no training that goes on: beginning anew" in tuned.stderr
    assert "has all 2" in _error(hdap(*TUNE, "--out", "tuned", "--resume", db=db))
    assert "holds a checkpoint" in _error(hdap(*TUNE, "--out", "tuned", db=db))
    assert hdap(*TUNE, *FAST, "--out", "tuned", "--force", db=db).exit_code == 0


def test_a_loss_that_runs_away_is_one_line(hdap: Hdap, here: Path) -> None:
    line = _error(hdap(*TUNE, "--lr", "1e30", "--out", "tuned", db=here / "hdap.db"))
    assert "the loss must be finite" in line
    assert "epoch 1" in line
    assert "nothing was written" in line


def test_images_that_cannot_be_read_are_listed(hdap: Hdap, here: Path) -> None:
    from PIL import Image

    for label in ("cat", "dog", "eel"):
        (here / "images" / label).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), 30 * i).save(here / "images" / label / f"{i}.png")
    (here / "images" / "dog" / "3.png").write_bytes(b"cut")
    folder = ("finetune", "pruned", "--model", MODEL, "--data", "images", "--epochs", "1")
    options = (*folder, "--workers", "0", "--validation-share", "0.3", *FAST)
    line = _error(hdap(*options, "--out", "tuned", db=here / "hdap.db"))
    assert "1 of 24 are not: images/dog/3.png" in line
    done = hdap(*options, "--out", "tuned", "--unreadable", "skip", db=here / "hdap.db")
    assert done.exit_code == 0, done.output
    assert "1 unreadable images were left out: images/dog/3.png" in done.stderr


WRONG = {
    "a folder without classes": (("--data", "."), "one folder a class"),
    "a recipe out of range": (("--lr", "0"), "`lr > 0` must hold"),
    "an optimiser that is not there": (("--optimizer", "lion"), "one of sgd, adamw"),
    "a teacher that is not there": (("--teacher", "no.pt"), "there is no file no.pt"),
    "another model": (("--model", "resnet18"), "must be one of resnet18"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(hdap: Hdap, here: Path, case: str) -> None:
    (here / "images").mkdir()
    arguments, expected = WRONG[case]
    assert expected in _error(hdap(*TUNE, "--out", "tuned", *arguments, db=here / "hdap.db"))
    assert not (here / "tuned").exists()


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="built without Gloo")
def test_torchrun_gives_the_numbers_of_one_process_and_one_voice(hdap: Hdap, here: Path) -> None:
    db = here / "hdap.db"
    alone = json.loads(hdap(*TUNE, *FAST, "--out", "alone", "--json", db=db).stdout)
    run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "hdap")
    done = subprocess.run(
        [sys.executable, *run, *TUNE, *FAST, "--out", "both", "--json", "--db", str(db)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    both = json.loads(done.stdout)  # one document, from one of them
    for name in ("train_loss", "validation_loss", "accuracy"):
        told = [epoch[name] for epoch in both["epochs"]]
        assert told == pytest.approx([epoch[name] for epoch in alone["epochs"]], rel=1e-3)
    assert done.stderr.count("epoch 2 of 2") == 1
    with Store.open(str(db)) as store:
        assert [r.epoch for r in store.epochs("both")] == [1, 2]


TASK = """
import torch
from torch import nn
from torch.utils.data import Dataset

class Levels(Dataset):
    # an image of one grey, and how bright it is: no class, no tensor of labels
    def __init__(self, count):
        self.levels = torch.linspace(-1, 1, count)
    def __len__(self):
        return len(self.levels)
    def __getitem__(self, index):
        return {"image": torch.full((1, 6, 6), self.levels[index].item()),
                "wanted": {"level": self.levels[index]}}

def levels():
    return Levels(64), Levels(20)

def loss(network, batch):
    return (network(batch["image"])[:, 0] - batch["wanted"]["level"]).square().mean()

def close(network, batches):
    hits = [(network(b["image"])[:, 0] - b["wanted"]["level"]).abs() < 0.25 for b in batches]
    return torch.cat(hits).float().mean()
"""
OWN = ("finetune", "pruned", "--model", MODEL, "--data", "finetunetask:levels", "--epochs", "2")
LOSS = ("--loss", "finetunetask:loss")
METRIC = ("--metric", "finetunetask:close")


@pytest.fixture
def task(here: Path) -> Iterator[Path]:
    (here / "finetunetask.py").write_text(TASK)
    yield here
    sys.modules.pop("finetunetask", None)


def test_another_task_is_tuned_by_its_own_loss_and_nothing_is_called_accuracy(
    hdap: Hdap, task: Path
) -> None:
    db = task / "hdap.db"
    done = hdap(*OWN, *LOSS, *FAST, "--out", "tuned", "--tensorboard", "board", db=db)
    assert done.exit_code == 0, done.output
    assert "accuracy" not in done.output
    assert "64 images to learn from, 20 to judge by" in done.stderr
    assert "classes" not in done.stderr
    assert "as pruned" in done.stdout
    told = hdap(*OWN, *LOSS, *FAST, "--out", "again", "--json", db=db)
    found = json.loads(told.stdout)
    assert found["loss"] == "finetunetask:loss"
    assert (found["accuracy"], found["before"]["accuracy"], found["metric"]) == (None, None, None)
    assert found["epochs"][-1]["accuracy"] is None
    assert found["validation_loss"] < found["before"]["loss"]
    assert load_checkpoint(task / "again", model=MODEL).manifest.tunings[0].accuracy is None
    with Store.open(str(db)) as store:
        rows = store.query("SELECT accuracy, metric FROM epochs").rows
    assert set(rows) == {(None, "")}


def test_a_metric_is_called_by_its_name(hdap: Hdap, task: Path) -> None:
    db = task / "hdap.db"
    done = hdap(*OWN, *LOSS, *METRIC, *FAST, "--out", "tuned", db=db)
    assert done.exit_code == 0, done.output
    assert "accuracy" not in done.output
    assert "close" in done.stdout
    assert "close " in done.stderr
    told = hdap(*OWN, *LOSS, *METRIC, *FAST, "--out", "again", "--json", db=db)
    found = json.loads(told.stdout)
    assert found["metric"] == "finetunetask:close"
    assert 0 <= found["accuracy"] <= 1
    with Store.open(str(db)) as store:
        assert store.epochs("again")[-1].metric == "finetunetask:close"


def test_a_run_by_an_own_loss_is_resumed_without_naming_it_again(hdap: Hdap, task: Path) -> None:
    db = task / "hdap.db"
    assert hdap(*OWN, *LOSS, *METRIC, *FAST, "--out", "tuned", db=db).exit_code == 0
    assert "has all 2" in _error(hdap(*OWN, "--out", "tuned", "--resume", db=db))
    other = hdap(*OWN, "--loss", "finetunetask:close", "--out", "tuned", "--resume", db=db)
    assert "loss='finetunetask:loss'" in _error(other)


WRONG_TASK = {
    "a metric alone": (METRIC, "alone; give --loss"),
    "a teacher": ((*LOSS, "--teacher", "dense.pt"), "from `--loss` or from a teacher"),
    "smooth labels": ((*LOSS, "--label-smoothing", "0.1"), "smoothed in cross-entropy"),
    "no such loss": (("--loss", "finetunetask:lost"), "must define `lost`"),
    "a name of another form": (("--loss", "mse"), "`--loss` is written"),
}


@pytest.mark.parametrize("case", WRONG_TASK)
def test_a_wrong_task_is_one_line(hdap: Hdap, task: Path, case: str) -> None:
    options, message = WRONG_TASK[case]
    assert message in _error(hdap(*OWN, *options, "--out", "tuned", db=task / "hdap.db"))
    assert not (task / "tuned").exists()


def test_samples_of_another_task_are_no_classes(hdap: Hdap, task: Path) -> None:
    line = _error(hdap(*OWN, "--out", "tuned", db=task / "hdap.db"))
    assert "finetunetask:levels" in line
    assert "--loss" in line
