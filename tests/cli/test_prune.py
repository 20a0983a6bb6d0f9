import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import hdap as package
from hdap.fleet_data.store import Store
from hdap.networks.counting import count_flops, count_parameters

Hdap = Callable[..., Result]
CODE = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    )
    network.input_shape = (3, 16, 16)
    return network

def batches():
    return [(torch.ones(2, 3, 16, 16), torch.tensor([0, 3]))]
"""
SMALL = ("prune", "--model", "smallnets:small", "--channels", "0=8;3=9")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user with code of their own."""
    (tmp_path / "smallnets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "Traceback" not in done.output
    return line


def test_the_best_trial_becomes_a_network_that_keeps_its_promise(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    done = hdap("prune", "--out", str(tmp_path / "out"), "--json", db=database)
    assert done.exit_code == 0, done.output
    assert "the weights are random" in done.stderr
    with Store.open(str(database), create=False) as store:
        study = store.study()
        trials = store.trials(study.id)
        name = store.name
    document = json.loads(done.stdout)
    row = document["origin"]["trial"]
    feasible = trials.feasible
    assert trials.feasible[row]
    assert trials.ucb_ms[row] == trials.ucb_ms[feasible].min()
    assert document["pruned"]["flops"] == trials.flops[row]
    assert document["pruned"]["parameters"] == trials.parameters[row]
    assert document["origin"]["predicted_fleet_mean_ms"] == trials.fleet_mean_ms[row]
    assert document["origin"]["study"] == study.name
    assert document["origin"]["database"] == name
    network = package.load_pruned(tmp_path / "out")
    assert count_flops(network, (3, 224, 224))[""] == trials.flops[row]
    assert count_parameters(network) == trials.parameters[row]


def test_a_search_comes_first_where_only_a_budget_is_given(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    budget = ("--model", "resnet50", "--flops", "900M", "--search-trials", "60")
    done = hdap("prune", *budget, "--out", str(tmp_path / "out"), db=database)
    assert done.exit_code == 0, done.output
    origin = json.loads((tmp_path / "out" / "model.json").read_text())
    assert origin["origin"]["study"] == "resnet50-900M-1"
    assert 500e6 <= origin["flops"] <= 900e6
    predicted = f"{origin['origin']['predicted_fleet_mean_ms']:.2f} ms"
    assert re.search(rf"fleet mean, predicted .* {predicted}", done.stdout)
    assert "hdap verify --study resnet50-900M-1" in done.stdout
    assert "hdap export" in done.stdout


def test_channels_need_no_database(hdap: Hdap, here: Path) -> None:
    done = hdap(*SMALL, "--criterion", "taylor", "--data", "smallnets:batches", "--out", "out")
    assert done.exit_code == 0, done.output
    network = package.load_pruned(here / "out", model="smallnets:small")
    assert network.get_parameter("3.weight").shape == (9, 8, 3, 3)
    assert not (here / "hdap.db").exists()
    assert "FLOPs" in done.stdout
    assert "by taylor" in done.stdout


def test_weights_come_from_a_file(hdap: Hdap, here: Path) -> None:
    import smallnets  # type: ignore[import-not-found]
    import torch

    torch.save(smallnets.small().state_dict(), "mine.pt")
    done = hdap(*SMALL, "--weights", "mine.pt", "--out", "out", "--criterion", "l1")
    assert done.exit_code == 0, done.output
    assert "file mine.pt" in done.stderr
    assert "random" not in done.stderr
    network = package.load_pruned(here / "out", model="smallnets:small")
    kept, dense = network.get_parameter("0.weight"), smallnets.small()[0].weight
    sums = dense.abs().sum((1, 2, 3))
    assert torch.equal(kept, dense[sums.argsort(descending=True)[:8].sort().values])


def test_weights_by_other_names_are_told_on_the_terminal_and_kept(hdap: Hdap, here: Path) -> None:
    import smallnets
    import torch

    state = smallnets.small().state_dict()
    theirs = {f"net_{name}": value for name, value in state.items()}
    torch.save(
        {"model": theirs, "ema": {"module": theirs | {"net_0.bias": torch.ones(16)}}}, "w.pt"
    )
    done = hdap(*SMALL, "--weights", "w.pt", "--out", "out", "-q")
    assert done.exit_code == 0, done.output
    told = "names differ; 10 tensors matched by order and shape; `ema.module` is taken"
    assert done.stderr.count(f"warning: w.pt: {told}") == 1
    manifest = json.loads((here / "out" / "model.json").read_text())
    assert manifest["weights"].startswith(f"file w.pt ({told}")
    network = package.load_pruned(here / "out", model="smallnets:small")
    assert torch.equal(network.get_parameter("0.bias"), torch.ones(8))


OTHER = """
from torch import nn
from smallnets import small

def padded():
    network = small()
    network[3].padding = (1, 1)
    return network

def other_names():
    return nn.ModuleDict({"a": nn.ReLU()})
"""


def test_a_model_is_compared_with_the_network_that_its_weights_are_of(
    hdap: Hdap, here: Path
) -> None:
    import smallnets
    import torch

    (here / "othernets.py").write_text(OTHER)
    torch.save(smallnets.small().state_dict(), "w.pt")
    model = ("model", "smallnets:small", "--compare")
    done = hdap(*model, "othernets:small", "--weights", "w.pt", db=here / "h.db")
    assert done.exit_code == 0, done.output
    assert (
        "smallnets:small is othernets:small: for random images outputs differ by 0" in done.stderr
    )
    wrong = {
        ("othernets:padded", "--weights", "w.pt"): "it is another network with the same tensors",
        ("othernets:other_names", "--weights", "w.pt"): "with parameters, but it has none",
        ("othernets:absent", "--weights", "w.pt"): "must define `absent`",
        ("othernets:small",): "give --weights FILE",
    }
    for arguments, why in wrong.items():
        assert why in _error(hdap(*model, *arguments, db=here / "h.db"))


WRONG = {
    "trial that is not there": (("--trial", "99999"), "must have a trial 99999"),
    "study that is not there": (("--study", "nothing"), "nothing"),
    "trial of another model": (
        ("--trial", "0", "--model", "mobilenetv1_100"),
        "must be one of mobilenetv1_100, but study resnet50-1.0G-1 searched resnet50",
    ),
    "two sources": (("--trial", "0", "--channels", "conv1=8"), "--trial or --study, --channels"),
    "channels without a model": (("--channels", "conv1=8"), "give --model"),
    "flops without a model": (("--flops", "1G"), "give --model"),
    "taylor without data": (("--criterion", "taylor"), "give both or neither"),
    "data without taylor": (("--data", "a:b"), "give both or neither"),
    "two sources of weights": (("--pretrained", "--weights", "smallnets.py"), "exclude each other"),
    "weights that are none": (("--weights", "smallnets.py"), "smallnets.py must be"),
    "unknown criterion": (("--criterion", "magic"), "l1, l2, bn_scale, taylor, random"),
    "data that is not there": (
        ("--criterion", "taylor", "--data", "no:batches"),
        "`no` must be importable",
    ),
    "channels of another network": (
        ("--model", "smallnets:small", "--channels", "conv1=8"),
        "no width group `conv1`",
    ),
    "channels beyond the width": (
        ("--model", "smallnets:small", "--channels", "wide.txt"),
        "wide.txt must hold a configuration of smallnets:small, but the count of 0 must be at most",
    ),
    "unknown model": (("--model", "resnet5o", "--channels", "conv1=8"), "nearest names"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(
    hdap: Hdap, searched: Path, here: Path, case: str
) -> None:
    arguments, expected = WRONG[case]
    (here / "wide.txt").write_text("0=17")
    assert expected in _error(hdap("prune", *arguments, "--out", "out", db=searched))
    assert not (here / "out").exists()


def test_a_folder_in_use_is_refused_before_any_work(hdap: Hdap, here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "notes").write_text("mine")
    assert "holds notes" in _error(hdap(*SMALL, "--out", "out", "--force"))
    assert "is a file" in _error(hdap(*SMALL, "--out", "smallnets.py"))


def test_force_replaces_a_checkpoint(hdap: Hdap, here: Path) -> None:
    assert hdap(*SMALL, "--out", "out").exit_code == 0
    assert "--force" in _error(hdap(*SMALL, "--out", "out"))
    assert hdap(*SMALL, "--out", "out", "--force", "--seed", "5").exit_code == 0
    assert json.loads((here / "out" / "model.json").read_text())["seed"] == 5


def test_weights_of_the_study_are_the_default(
    hdap: Hdap, searched: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdap.networks.prune_plan import plan_from_trial

    with Store.open(str(searched), create=False) as store:
        record = store.study()
        monkeypatch.setitem(record.settings, "weights", str(here / "gone.pt"))
        monkeypatch.setattr(Store, "study", lambda self, name=None: record)
        assert plan_from_trial(store, None, None).weights is not None
    line = _error(hdap("prune", "--out", "out", db=searched))
    assert "gone.pt is not; give --weights FILE" in line
