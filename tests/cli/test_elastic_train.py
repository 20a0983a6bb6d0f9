import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import Result

from hdap.elastic import load_elastic
from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]
MODEL = "trainnets:small"
TRAIN = (
    "elastic",
    "train",
    "--data",
    "trainnets:rows",
    "--epochs",
    "3",
    "--batch-size",
    "16",
)


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "Traceback" not in done.output
    return line


def test_a_network_becomes_elastic_and_one_of_its_levels_a_file(hdap: Hdap, here: Path) -> None:
    db = here / "hdap.db"
    done = hdap(*TRAIN, "--model", MODEL, "--flops", "30%,100%", "--out", "out", "--json", db=db)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    low, high = found["levels"]
    assert low["flops"] <= 0.3 * high["flops"]
    assert found["storage_ratio"] > 1
    with Store.open(str(db)) as store:
        rows = store.epochs("out")
    assert [r.train_loss for r in rows] == [e["train_loss"] for e in found["epochs"]]
    exported = hdap("export", "out", "--level", "0", "--model", MODEL, "--out", "low.onnx")
    assert exported.exit_code == 0, exported.output
    assert (here / "low.onnx").stat().st_size > 0
    assert "one of 0..1" in _error(
        hdap("export", "out", "--level", "2", "--model", MODEL, "--out", "none.onnx")
    )
    unnamed = hdap("export", "out", "--model", MODEL, "--out", "none.onnx")
    assert "name one, the narrowest with --level 0" in _error(unnamed)
    again = hdap(*TRAIN, "--resume", "--model", MODEL, "--out", "out", db=db)
    assert again.exit_code == 1


STOPPING = """
from pathlib import Path
from trainnets import rows as found

class Stopping:
    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, place):
        return self.samples[place]

    def set_epoch(self, epoch):
        if epoch == 2 and Path("stop").exists():
            raise KeyboardInterrupt

def rows():
    train, validation = found()
    return Stopping(train), validation
"""


def test_what_was_stopped_goes_on_with_the_levels_it_began_with(hdap: Hdap, here: Path) -> None:
    (here / "stoppingrows.py").write_text(STOPPING)
    (here / "stop").touch()
    begin = (*TRAIN[:3], "stoppingrows:rows", *TRAIN[4:], "--model", MODEL, "--out", "out")
    levels = ("--flops", "30%,100%")
    stopped = hdap(*begin, *levels, db=here / "hdap.db")
    assert stopped.exit_code == 130, stopped.output
    (here / "stop").unlink()
    other = hdap(*begin, "--flops", "50%,90%", "--resume", db=here / "hdap.db")
    assert "goes on as it began, with levels of" in _error(other)
    done = hdap(*begin, *levels, "--resume", "--json", db=here / "hdap.db")
    assert done.exit_code == 0, done.output
    assert [epoch["number"] for epoch in json.loads(done.stdout)["epochs"]][-1] == 3


def test_levels_come_from_a_file_and_the_network_from_a_pruned_checkpoint(
    hdap: Hdap, here: Path
) -> None:
    pruned = hdap("prune", "--model", MODEL, "--channels", "0=12;3=8", "--out", "pruned")
    assert pruned.exit_code == 0, pruned.output
    (here / "levels.json").write_text(json.dumps(["0=4;3=4", {"0": 8}, ""]))
    done = hdap(
        *TRAIN, "pruned", "--model", MODEL, "--levels", "levels.json", "--mode", "incremental",
        "--out", "out", db=here / "hdap.db",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "trained incremental" in done.stdout
    offered = [x for x in done.stdout.splitlines() if x.startswith(("next: ", "then: "))]
    assert offered[0].startswith("next: hdap export out --level 0")
    assert "hdap elastic deploy out" in offered[-1]
    model = load_elastic("out", model=MODEL)
    assert model.levels.counts.tolist() == [[4, 4], [8, 8], [12, 8]]
    model.set_level(0)
    assert model(torch.zeros(1, 1, 6, 6)).shape == (1, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["0=8", "0=4"], "prefix of the next, but 0 has 8 channels at level 0 and 4 at level 1"),
        (["0=8", "9=4"], "level 1 of levels.json must be a configuration, but the model has no"),
        (["0=8"], "must have two levels or more, but got 1"),
        ([3], "must be a text or an object, but is '3'"),
        ({"levels": []}, "must hold a list of levels"),
    ],
)
def test_wrong_levels_are_one_line(hdap: Hdap, here: Path, content: object, message: str) -> None:
    (here / "levels.json").write_text(json.dumps(content))
    done = hdap(*TRAIN, "--model", MODEL, "--levels", "levels.json", "--out", "out")
    assert message in _error(done)
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "neither a checkpoint nor --model"),
        (("--model", MODEL, "--mode", "soft"), "a mode is one of nested, masked, incremental"),
        (("--model", MODEL, "--mode", "incremental"), "needs 4 epochs or more, but got 3"),
        (("--model", MODEL, "--levels", "x", "--flops", "5%"), "got both; leave one out"),
        (("--model", MODEL, "--levels", "absent.json"), "must be a JSON file, but reading"),
        (("--model", MODEL, "--flops", "0.01%,100%"), "budgets of levels must be at least"),
    ],
)
def test_wrong_usage_is_one_line(
    hdap: Hdap, here: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in _error(hdap(*TRAIN, *arguments, "--out", "out"))
