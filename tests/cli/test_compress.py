import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import Result

from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import load_checkpoint
from hdap.networks.loading import load_model
from hdap.requests.recipe import Recipe
from hdap.training.load_data import load_data
from hdap.training.training_loop import train

Hdap = Callable[..., Result]
MODEL = "hdap.examples.networks:small_resnet"
CODE = """
from hdap.examples import digits as examples
from hdap.training.datasets import part

def digits():
    train, validation = examples.digits()
    return part(train, range(400)), part(validation, range(100))
"""
BUDGET = ("compress", "--model", MODEL, "--flops", "40%", "--data", "compressdata:digits")
FAST = ("--search-trials", "60", "--epochs", "1", "--lr", "0.02", "--batch-size", "40")


@pytest.fixture(scope="module")
def place(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A simulated fleet that measured the small network, the network's weights, and data."""
    folder = tmp_path_factory.mktemp("compress")
    (folder / "compressdata.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    fleet = ("--devices", "16", "--rows", "4", "--configurations", "24", "--measured-rows", "12")
    steps = [
        ("simulate", "--out", str(folder / "fleet"), "--model", MODEL, *fleet),
        ("model", MODEL, "--db", str(folder / "hdap.db")),
        ("ingest", str(folder / "fleet" / "telemetry.csv.gz"), "--db", str(folder / "hdap.db")),
    ]
    for step in steps:
        done = hdap(*step)
        assert done.exit_code == 0, done.output
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = load_model(MODEL).module
    train(network, load_data("compressdata:digits"), Recipe(epochs=3, batch_size=40, lr=0.05))
    torch.save(network.state_dict(), folder / "dense.pt")
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("compressdata", None)


@pytest.fixture(scope="module")
def two_steps(hdap: Hdap, place: Path) -> Result:
    weights = ("--weights", str(place / "dense.pt"))
    ratio = ("--min-accuracy-ratio", "0.5")
    out = ("--out", str(place / "two"))
    done = hdap(*BUDGET, *FAST, "--steps", "2", *ratio, *weights, *out, db=place / "hdap.db")
    assert done.exit_code == 0, done.output
    return done


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    return line


def test_steps_end_in_the_budget_and_only_narrow(place: Path, two_steps: Result) -> None:
    networks = [
        load_checkpoint(place / "two" / f"step-{step}" / "tuned", model=MODEL).manifest
        for step in (1, 2)
    ]
    first, second = networks
    dense = 6_573_312
    # A budget is a ceiling: less is enough where it keeps as much as the base line.
    assert 0.35 * dense < second.flops <= 0.4 * dense < first.flops < 0.64 * dense
    assert all(second.channels[name] <= count for name, count in first.channels.items())
    assert second.origin is not None
    with Store.open(str(place / "hdap.db")) as store:
        study = store.study(second.origin.study)
        trials = store.trials(study.id)
    kept = trials.kept_importance[trials.number == second.origin.trial]
    assert kept >= study.settings["floor"] - 1e-9
    assert [t.run for t in second.tunings] == ["two-step-1", "two-step-2"]
    assert second.weights == "file dense.pt"


def test_a_step_takes_no_more_of_a_group_than_it_may(place: Path, two_steps: Result) -> None:
    first = load_checkpoint(place / "two" / "step-1" / "tuned", model=MODEL).manifest
    # Twice what uniform pruning takes on the way to the root of 40 % of the FLOPs.
    cut = 2 * (1 - 0.4**0.25)
    with Store.open(str(place / "hdap.db")) as store:
        grid = int(store.study(first.origin.study if first.origin else None).settings["step"])
    for name, count in first.channels.items():
        assert count >= (1 - cut) * first.dense[name] - grid


def test_the_table_says_simulated_and_what_comes_next(place: Path, two_steps: Result) -> None:
    assert "compressed in 2 steps" in two_steps.stdout
    assert "simulated data" in two_steps.stdout
    assert "predicted" in two_steps.stdout
    assert f"next: hdap export {place / 'two' / 'step-2' / 'tuned'}" in two_steps.stdout


def test_steps_and_epochs_are_rows(place: Path, two_steps: Result) -> None:
    with Store.open(str(place / "hdap.db")) as store:
        steps = store.compression_steps("two")
        epochs = store.epochs("two-step-2")
    journal = json.loads((place / "two" / "compression.json").read_text())
    assert [s.flops for s in steps] == [s["flops"] for s in journal["steps"]]
    assert all(s.simulated for s in steps)
    assert journal["simulated"] is True
    assert [s.accuracy_after for s in steps] == [s["accuracy_after"] for s in journal["steps"]]
    assert len(epochs) == 1


def test_a_resumed_compression_redoes_only_what_is_not_done(
    hdap: Hdap, place: Path, two_steps: Result, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(place / "two", tmp_path / "two"))
    whole = json.loads((out / "compression.json").read_text())
    cut = {**whole, "steps": whole["steps"][:1]}
    (out / "compression.json").write_text(json.dumps(cut))
    shutil.rmtree(out / "step-2")
    kept = (out / "step-1" / "tuned" / "model.json").stat().st_mtime_ns
    weights, ratio = ("--weights", str(place / "dense.pt")), ("--min-accuracy-ratio", "0.5")
    again = (*BUDGET, *FAST, "--steps", "2", *ratio, *weights, "--out", str(out), "--resume")
    db = shutil.copy(place / "hdap.db", tmp_path / "hdap.db")
    other = _error(hdap(*again, "--lr", "0.03", db=db))
    assert "goes on as it began" in other
    done = hdap(*again, "--json", db=db)
    assert done.exit_code == 0, done.output
    assert (out / "step-1" / "tuned" / "model.json").stat().st_mtime_ns == kept
    found = json.loads(done.stdout)
    assert found["simulated"] is True
    for name in ("trial", "flops", "accuracy_pruned", "accuracy_after", "validation_accuracy"):
        assert found["steps"][1][name] == whole["steps"][1][name]

    untuned = json.loads((out / "compression.json").read_text())
    untuned["steps"][1] |= {"accuracy_after": None, "validation_accuracy": None}
    (out / "compression.json").write_text(json.dumps(untuned))
    shutil.rmtree(out / "step-2" / "tuned")
    done = hdap(*again, "--json", db=db)
    assert done.exit_code == 0, done.output
    assert "step 2: pruned before as trial" in done.stderr
    assert json.loads(done.stdout)["steps"] == found["steps"]


def test_one_step_that_loses_too_much_tries_the_short_list_and_stops(
    hdap: Hdap, place: Path, tmp_path: Path
) -> None:
    weights = ("--weights", str(place / "dense.pt"), "--min-accuracy-ratio", "1.0")
    small = ("--steps", "1", "--flops", "16%", "--candidates", "3", "--out", str(tmp_path / "out"))
    db = shutil.copy(place / "hdap.db", tmp_path / "hdap.db")
    line = _error(hdap(*BUDGET, *FAST, *weights, *small, db=db))
    assert "step 1 must keep 100 % of its accuracy" in line
    assert "the best of" in line
    assert not (tmp_path / "out" / "step-1").exists()


WRONG = {
    "no weights": ((), "give --weights FILE or --pretrained"),
    "a budget above dense": (("--weights", "dense.pt", "--flops", "1G"), "at most the dense"),
    "a folder that holds things": (("--weights", "dense.pt", "--out", "fleet"), "is not; name"),
    "a ratio out of range": (
        ("--weights", "dense.pt", "--min-accuracy-ratio", "2"),
        "min_accuracy_ratio=2.0",
    ),
    "a model that nobody measured": (
        ("--weights", "dense.pt", "--model", "hdap.examples.networks:small_vgg"),
        "must hold measurements of",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(
    hdap: Hdap, place: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(place)
    arguments, expected = WRONG[case]
    out = () if "--out" in arguments else ("--out", "new")
    assert expected in _error(hdap(*BUDGET, *FAST, *out, *arguments, db=place / "hdap.db"))
    assert not (place / "new").exists()


OWN = """
from torch.nn import functional

def loss(network, batch):
    images, labels = batch
    return functional.cross_entropy(network(images), labels)

def right(network, batches):
    found = [network(images).argmax(1) == labels for images, labels in batches]
    return sum(int(x.sum()) for x in found) / sum(len(x) for x in found)
"""


def test_a_compression_guards_the_metric_of_an_own_loss(
    hdap: Hdap, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compressloss.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    db = shutil.copy(place / "hdap.db", tmp_path / "hdap.db")
    own = ("--loss", "compressloss:loss", "--weights", str(place / "dense.pt"))
    asked = (*BUDGET, *FAST, *own)
    out = ("--out", str(tmp_path / "own"))
    assert "give --metric" in _error(hdap(*asked, *out, db=db))
    done = hdap(*asked, "--metric", "compressloss:right", *out, "--json", db=db)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["request"]["metric"] == "compressloss:right"
    assert len(found["steps"]) == 1  # at once, and whatever is left is tuned
    assert found["steps"][0]["validation_accuracy"] > 0
    assert "right " in done.stderr
    assert "accuracy" not in done.stderr
    sys.modules.pop("compressloss", None)
