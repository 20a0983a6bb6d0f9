"""Levels of a sparse training, as a person makes them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.fleet_data.store import Store
from hdap.portfolio.sparse_checkpoint import read_sparse

Hdap = Callable[..., Result]
MODEL = "trainnets:small"
TRAIN = ("portfolio", "train", "--data", "trainnets:rows", "--out", "levels")
BEGIN = (*TRAIN, "--model", MODEL, "--epochs", "2", "--batch-size", "16", "--rate", "0.4")


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "Traceback" not in done.output
    return line


def test_every_level_is_kept_and_its_epochs_are_in_the_database(hdap: Hdap, here: Path) -> None:
    done = hdap(*BEGIN, "--sparse-levels", "2", "--json", db="hdap.db")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [level["name"] for level in told["levels"]] == ["level-00", "level-01", "level-02"]
    assert (told["rate"], told["rewind"], told["scope"]) == (0.4, 1, "global")
    assert [level["density"] for level in told["levels"]] == pytest.approx([1, 0.6, 0.36], abs=0.01)
    found = read_sparse(here / "levels", MODEL)
    assert [level.accuracy for level in found] == [level["accuracy"] for level in told["levels"]]
    with Store.open("sqlite:///hdap.db") as store:
        runs = store.training_runs()
    assert set(runs) == {f"levels-level-{n:02d}" for n in range(3)}


def test_one_epoch_is_enough(hdap: Hdap, here: Path) -> None:
    once = (*TRAIN, "--model", MODEL, "--epochs", "1", "--batch-size", "32")
    done = hdap(*once, "--sparse-levels", "1", "--json", db="hdap.db")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rewind"] == 0


def test_it_goes_on_as_it_began_and_says_what_comes_next(hdap: Hdap, here: Path) -> None:
    assert hdap(*BEGIN, "--sparse-levels", "1", db="hdap.db").exit_code == 0
    done = hdap(*TRAIN, "--resume", "--sparse-levels", "2", "--model", MODEL, db="hdap.db")
    assert done.exit_code == 0, done.output
    assert "resuming after level-01" in done.stderr
    assert "level-02" in done.stdout
    assert (
        f"hdap portfolio build --sparse levels --out levels-bundle --model {MODEL}" in done.stdout
    )
    unnamed = _error(hdap(*TRAIN, "--resume", "--sparse-levels", "3", db="hdap.db"))
    assert "runs only when you name it" in unnamed
    other = hdap(
        *TRAIN, "--resume", "--sparse-levels", "3", "--lr", "0.5", "--model", MODEL, db="hdap.db"
    )
    assert "lr=0.01, but got 0.5" in _error(other)


def test_what_was_stopped_goes_on_to_as_many_levels_as_were_asked_for(
    hdap: Hdap, here: Path
) -> None:
    assert hdap(*BEGIN, "--sparse-levels", "2", db="hdap.db").exit_code == 0
    record = here / "levels" / "portfolio-training.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"levels": content["levels"][:-1]}))  # stopped there
    done = hdap(*TRAIN, "--resume", "--model", MODEL, "--json", db="hdap.db")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["levels"]) == 3
    again = hdap(*TRAIN, "--resume", "--model", MODEL, db="hdap.db")
    assert "has all 2; give more --sparse-levels" in _error(again)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--rate", "1"), "`0 < rate < 1`"),
        (("--rewind", "2"), "`0 <= rewind < 2 epochs`"),
        (("--scope", "filters"), "global, layer"),
        (("--data", "nowhere"), "is none of them"),
        (("--resume",), "portfolio-training.json"),
    ],
)
def test_wrong_input_is_one_line(hdap: Hdap, here: Path, given: tuple[str, ...], why: str) -> None:
    assert why in _error(hdap(*BEGIN, *given, db="hdap.db"))
    assert not (here / "levels").exists()


def test_a_network_must_be_named(hdap: Hdap, here: Path) -> None:
    assert "a network must be named" in _error(hdap(*TRAIN, db="hdap.db"))
