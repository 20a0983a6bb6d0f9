"""`hdap search --data`: accuracy judged inside a search, on a simulated fleet."""

import copy
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch import nn
from typer.testing import Result

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.store import Store
from hdap.networks.loading import load_model
from hdap.networks.surgery import kept_channels
from hdap.requests.recipe import Recipe
from hdap.search.driver.optuna_storage import open_storage
from hdap.training.load_data import load_data
from hdap.training.network_quality import evaluate, recalibrate_on
from hdap.training.training_loop import train
from hdap.workflows.accuracy_evaluator import AccuracyEvaluator, EvaluatorSpec, evaluator_pool

Hdap = Callable[..., Result]
MODEL = "hdap.examples.networks:small_resnet"
DATA = "hdap.examples.digits:digits"
LEARNING = ("search", "--model", MODEL, "--flops", "30%", "--data", DATA)
SEARCH = (*LEARNING, "--tunings", "0", "--trials", "24")


@pytest.fixture(scope="module")
def place(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated fleet that measured the small network, and the network's weights."""
    folder = tmp_path_factory.mktemp("accuracy")
    fleet = ("--devices", "16", "--rows", "4", "--configurations", "24", "--measured-rows", "12")
    for step in (
        ("simulate", "--out", str(folder / "fleet"), "--model", MODEL, *fleet),
        ("model", MODEL, "--db", str(folder / "hdap.db")),
        ("ingest", str(folder / "fleet" / "telemetry.csv.gz"), "--db", str(folder / "hdap.db")),
    ):
        done = hdap(*step)
        assert done.exit_code == 0, done.output
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = load_model(MODEL).module
    train(network, load_data(DATA), Recipe(epochs=2, batch_size=40, lr=0.05))
    torch.save(network.state_dict(), folder / "dense.pt")
    return folder


@pytest.fixture
def order(place: Path) -> EvaluatorSpec:
    with Store.open(str(place / "hdap.db")) as store:
        architecture = store.architecture(MODEL)
    return EvaluatorSpec(architecture, DATA, place / "dense.pt", False, seed=0)


@pytest.fixture
def bench(order: EvaluatorSpec) -> AccuracyEvaluator:
    return order.made()


def _masked(bench: AccuracyEvaluator, counts: Counts) -> nn.Module:
    """The dense network where no layer sees the channels that the cut would remove."""
    network = copy.deepcopy(bench.module)
    for group, count, scores in zip(
        bench.architecture.groups, counts.tolist(), bench.scores, strict=True
    ):
        gone = np.setdiff1d(np.arange(group.width), kept_channels(scores, count))
        for touch in bench.graph.touches(group.name, gone.tolist()) if len(gone) else ():
            layer = network.get_submodule(touch.name)
            if touch.inputs and isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.data[:, touch.indices] = 0.0
    return network


def test_a_cut_network_is_judged_as_its_masked_twin(bench: AccuracyEvaluator) -> None:
    counts = np.maximum(bench.architecture.widths // 32 * 16, 16)
    twin = _masked(bench, counts)
    recalibrate_on(twin, bench.others, count=8, seed=bench.seed)
    assert bench.accuracy(counts) == pytest.approx(evaluate(twin, bench.held).accuracy, abs=0.01)


def test_the_dense_network_is_more_accurate_than_an_eighth_of_it(bench: AccuracyEvaluator) -> None:
    widths = bench.architecture.widths
    assert bench.accuracy(widths) > 0.8 > bench.accuracy(widths // 8)


def test_what_was_judged_once_is_not_judged_again_by_any_number_of_processes(
    order: EvaluatorSpec, tmp_path: Path
) -> None:
    widths = order.architecture.widths
    rows = np.stack([widths, widths // 2, widths, widths // 4])
    with Store.open(str(tmp_path / "a.db")) as store:
        with evaluator_pool(store, order) as judge:
            one = judge.accuracy(rows)
            assert judge.asked == 3
            assert judge.dense == one[0] == one[2]
        with evaluator_pool(store, order) as judge:
            assert judge.accuracy(rows).tolist() == one.tolist()
            assert judge.asked == 0
    with (
        Store.open(str(tmp_path / "b.db")) as store,
        evaluator_pool(store, order, workers=2) as judge,
    ):
        assert judge.accuracy(rows).tolist() == one.tolist()


def test_a_search_loads_network_and_images_once(
    hdap: Hdap, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counteddata.py").write_text(
        "from hdap.examples import digits as examples\n"
        "calls = []\n"
        "def digits():\n"
        "    calls.append(1)\n"
        "    return examples.digits()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--weights", str(place / "dense.pt"), "--data", "counteddata:digits")
    done = hdap(*SEARCH, *options, "--trials", "2", "--study", "counted", db=place / "hdap.db")
    assert done.exit_code == 0, done.output
    assert len(importlib.import_module("counteddata").calls) == 1


def test_random_weights_of_a_known_model_are_refused(
    architecture: Callable[..., Architecture],
) -> None:
    with pytest.raises(InputError, match="--weights FILE or --pretrained"):
        EvaluatorSpec(architecture("resnet50"), DATA, None, False, 0).made()


def test_a_search_keeps_the_least_accuracy_and_judges_nothing_twice(
    hdap: Hdap, place: Path
) -> None:
    weights = ("--weights", str(place / "dense.pt"))
    least = ("--min-accuracy", "0.3")
    first = hdap(*SEARCH, *weights, *least, "--study", "one", "--json", db=place / "hdap.db")
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert told["accuracy"]["found_untuned"] >= 0.3
    assert told["simulated"] is True
    with Store.open(str(place / "hdap.db")) as store:
        trials = store.trials(store.study("one").id)
        judged = store.query("SELECT count(*) FROM accuracies").rows
        hdap(*SEARCH, *weights, *least, "--study", "again", "--workers", "2", db=place / "hdap.db")
        again = store.trials(store.study("again").id)
        assert store.query("SELECT count(*) FROM accuracies").rows == judged
    assert trials.accuracy is not None
    assert again.accuracy is not None
    assert (trials.accuracy[trials.feasible] >= 0.3).all()
    assert np.array_equal(trials.counts, again.counts)
    assert np.array_equal(trials.accuracy, again.accuracy, equal_nan=True)


def test_without_a_least_accuracy_the_answer_is_a_front(hdap: Hdap, place: Path) -> None:
    weights = ("--weights", str(place / "dense.pt"))
    found = hdap(*SEARCH, *weights, "--study", "front", db=place / "hdap.db")
    assert found.exit_code == 0, found.output
    assert "accuracy, untuned" in " ".join(found.stdout.split())
    assert "simulated data" in found.stdout
    with Store.open(str(place / "hdap.db")) as store:
        rows = store.query(
            "SELECT value_2, accuracy FROM pareto_trials WHERE study = 'front' ORDER BY value_1"
        ).rows
    assert [row[0] for row in rows] == pytest.approx([1.0 - row[1] for row in rows])
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-accuracy", "0.5"), "give --data"),
        (("--objective", "mean,accuracy"), "give --data"),
        (("--data", DATA, "--min-accuracy", "1.5"), "min-accuracy <= 1"),
        (("--data", DATA, "--min-accuracy", "0.9999"), "accuracy"),
        (("--data", "no/such/folder"), "none of them"),
    ],
)
def test_what_does_not_fit_together_is_one_clear_line(
    hdap: Hdap, place: Path, options: tuple[str, ...], words: str
) -> None:
    command = ("search", "--model", MODEL, "--flops", "30%", "--trials", "10", "--tunings", "0")
    weights = ("--weights", str(place / "dense.pt"))
    found = hdap(*command, *weights, *options, db=place / "hdap.db")
    assert found.exit_code == 1
    assert words in found.output
    with Store.open(str(place / "hdap.db")) as store:
        assert all(len(store.trials(study.id)) for study in store.studies())


def _study_names(database: str) -> list[str]:
    with Store.open(database) as store:
        return [study.name for study in store.studies()]


def test_two_hosts_judge_one_study_on_postgresql_and_its_accuracies_land_in_both_storages(
    hdap: Hdap, place: Path, postgres: Any
) -> None:
    url = postgres.create_space()
    assert hdap("model", MODEL, db=url).exit_code == 0
    assert hdap("ingest", str(place / "fleet" / "telemetry.csv.gz"), db=url).exit_code == 0
    shared = ("--storage", url, "--study", "shared", "--min-accuracy", "0.3")
    command = (*SEARCH, "--weights", str(place / "dense.pt"), *shared)
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "hdap", *command, "--db", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [host.communicate(timeout=200)[0] for host in hosts]
    # one may come when the other is through
    assert any(host.returncode == 0 for host in hosts), outputs
    assert all("must exceed" in o for h, o in zip(hosts, outputs, strict=True) if h.returncode)
    with Store.open(url) as store:
        trials = store.trials(store.study("shared").id)
        judged = store.query("SELECT count(*), count(DISTINCT channels) FROM accuracies").rows[0]
    # of a network that both entered at the same moment the lower number is its trial
    assert (np.diff(trials.number) > 0).all()
    assert len(np.unique(trials.counts, axis=0)) == len(trials) == 24
    assert trials.accuracy is not None
    assert (trials.accuracy[trials.feasible] >= 0.3).all()
    assert judged[0] == judged[1]
    shown = optuna.load_study(study_name="shared", storage=open_storage(url)).trials
    found = [trial for trial in shown if trial.number in trials.number]
    told = [trial.user_attrs.get("accuracy", np.nan) for trial in found]
    assert np.array_equal(told, trials.accuracy, equal_nan=True)
    for trial, accuracy in zip(found, told, strict=True):
        assert (trial.constraints["accuracy"] > 0.0) == (accuracy < 0.3)


def test_a_host_with_other_weights_or_another_least_accuracy_is_refused_and_leaves_no_study(
    hdap: Hdap, place: Path
) -> None:
    journal = place / "shared.journal"
    command = (*SEARCH, "--storage", str(journal), "--study", "judged")
    first = hdap(
        *command, "--weights", str(place / "dense.pt"), "--min-accuracy", "0.3", "--json",
        db=place / "hdap.db",
    )  # fmt: skip
    assert first.exit_code == 0, first.output
    own = place / "own.db"
    assert hdap("model", MODEL, db=own).exit_code == 0
    assert hdap("ingest", str(place / "fleet" / "telemetry.csv.gz"), db=own).exit_code == 0
    state = torch.load(place / "dense.pt", weights_only=True)
    torch.save({k: v * 1.001 if v.ndim == 4 else v for k, v in state.items()}, place / "other.pt")
    for weights, least, word in (
        ("other.pt", "0.3", "data or weights"),
        ("dense.pt", "0.2", "least accuracy"),
    ):
        refused = hdap(*command, "--weights", str(place / weights), "--min-accuracy", least, db=own)
        assert refused.exit_code == 1
        assert word in refused.output
        assert "Traceback" not in refused.output
    assert _study_names(str(own)) == []


def test_a_host_with_a_database_of_its_own_gets_all_trials_and_judges_none_of_them_again(
    hdap: Hdap, place: Path
) -> None:
    judged = ("--weights", str(place / "dense.pt"), "--min-accuracy", "0.3")
    command = (*SEARCH, *judged, "--storage", str(place / "two.journal"), "--study", "two")
    assert hdap(*command, db=place / "hdap.db").exit_code == 0
    own = place / "late.db"
    assert hdap("model", MODEL, db=own).exit_code == 0
    assert hdap("ingest", str(place / "fleet" / "telemetry.csv.gz"), db=own).exit_code == 0
    late = hdap(*command, db=own)
    assert late.exit_code == 0, late.output
    found = []
    for database in (place / "hdap.db", own):
        with Store.open(str(database)) as store:
            found.append(store.trials(store.study("two").id))
    assert found[1].number.tolist() == list(range(24))
    assert found[0].accuracy is not None
    assert found[1].accuracy is not None
    assert np.array_equal(found[0].counts, found[1].counts)
    assert np.array_equal(found[0].accuracy, found[1].accuracy, equal_nan=True)


def test_a_storage_that_cannot_be_had_leaves_no_study(hdap: Hdap, place: Path) -> None:
    before = _study_names(str(place / "hdap.db"))
    command = (*SEARCH, "--weights", str(place / "dense.pt"), "--study", "nowhere")
    refused = hdap(*command, "--storage", str(place / "no" / "a.journal"), db=place / "hdap.db")
    assert refused.exit_code == 1
    assert "directory must exist" in refused.output
    assert _study_names(str(place / "hdap.db")) == before


def test_more_accuracy_than_the_dense_network_has_leaves_no_study(hdap: Hdap, place: Path) -> None:
    before = _study_names(str(place / "hdap.db"))
    torch.save(load_model(MODEL).module.state_dict(), place / "raw.pt")
    options = ("--weights", str(place / "raw.pt"), "--min-accuracy", "0.9")
    refused = hdap(*SEARCH, *options, db=place / "hdap.db")
    assert refused.exit_code == 1
    assert "at most what the dense network has" in refused.output
    assert _study_names(str(place / "hdap.db")) == before


def _learned(hdap: Hdap, place: Path, *options: str) -> dict[str, Any]:
    weights = ("--weights", str(place / "dense.pt"))
    found = hdap(*LEARNING, *weights, *options, "--json", db=place / "hdap.db")
    assert found.exit_code == 0, found.output
    told: dict[str, Any] = json.loads(found.stdout)["learned_accuracy"]
    return told


def _stored(place: Path) -> list[tuple[Any, ...]]:
    with Store.open(str(place / "hdap.db")) as store:
        return list(
            store.query(
                "SELECT channels, accuracy FROM accuracies WHERE judged_on LIKE '%tuned once%'"
            ).rows
        )


TUNED = ("--tunings", "6", "--tune-images", "300")


def test_a_search_learns_accuracy_from_a_few_tunings_and_tunes_nothing_twice(
    hdap: Hdap, place: Path
) -> None:
    told = _learned(hdap, place, *TUNED, "--study", "learned")
    assert told["tunings"] == 6
    assert 0.0 < told["found"] <= told["dense"] + 0.1
    assert min(told[over]["half_90"] for over in ("over_best_uniform", "over_dense")) > 0.0
    rows = _stored(place)
    assert len(rows) == 7  # and the dense network
    assert _learned(hdap, place, *TUNED, "--study", "relearned") == told
    assert _stored(place) == rows
    with Store.open(str(place / "hdap.db")) as store:
        first, again = (store.study(name) for name in ("learned", "relearned"))
        assert first.settings["importance"] == again.settings["importance"]
        assert "weighed by 6 tunings" in str(first.settings["importance"])
        assert "weighed" not in store.importance(MODEL).source  # what other searches would take
        trials = store.trials(first.id), store.trials(again.id)
    assert np.array_equal(trials[0].counts, trials[1].counts)
    assert trials[0].accuracy is None


def test_a_learned_search_resumes_and_says_the_same_of_accuracy(hdap: Hdap, place: Path) -> None:
    options = (*TUNED, "--study", "cut", "--sampler", "random")
    _learned(hdap, place, *options, "--trials", "20")
    told = hdap("search", "--resume", "cut", "--trials", "40", db=place / "hdap.db")
    assert told.exit_code == 0, told.output
    words = " ".join(told.stdout.split())
    assert "predicted from 6 tunings" in words
    assert "points against the best uniform network" in words
    _learned(hdap, place, *TUNED, "--study", "uncut", "--sampler", "random", "--trials", "40")
    with Store.open(str(place / "hdap.db")) as store:
        cut, uncut = (store.trials(store.study(name).id) for name in ("cut", "uncut"))
    kept = [
        dict(zip(map(bytes, trials.counts), trials.kept_importance, strict=True))
        for trials in (cut, uncut)
    ]
    shared = kept[0].keys() & kept[1].keys()
    assert len(shared) > 20  # some of them were found after the search was resumed
    assert [kept[0][row] for row in shared] == [kept[1][row] for row in shared]


def test_a_least_accuracy_is_a_floor_of_what_was_learned(hdap: Hdap, place: Path) -> None:
    told = _learned(hdap, place, *TUNED, "--study", "floor")
    least = told["found"] - 0.02
    asked = _learned(hdap, place, *TUNED, "--study", "least", "--min-accuracy", f"{least:.4f}")
    assert asked["found"] > least - 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tunings", "2"), "tunings >= 4"),
        (("--proxy", "mean"), "proxy of logarithms"),
        (("--objective", "mean,accuracy"), "give mean,kept"),
        (("--floor", "0.5", "--min-accuracy", "0.5"), "one constraint"),
    ],
)
def test_what_cannot_be_learned_is_one_clear_line(
    hdap: Hdap, place: Path, options: tuple[str, ...], words: str
) -> None:
    before = _study_names(str(place / "hdap.db"))
    found = hdap(*LEARNING, "--weights", str(place / "dense.pt"), *options, db=place / "hdap.db")
    assert found.exit_code == 1
    assert words in " ".join(found.output.split())
    assert _study_names(str(place / "hdap.db")) == before


def test_more_accuracy_than_the_dense_network_has_is_refused_before_anything_is_tuned(
    hdap: Hdap, place: Path
) -> None:
    torch.save(load_model(MODEL).module.state_dict(), place / "raw.pt")
    before = _stored(place)
    options = ("--weights", str(place / "raw.pt"), "--min-accuracy", "0.9")
    refused = hdap(*LEARNING, *options, db=place / "hdap.db")
    assert refused.exit_code == 1
    assert "at most what the dense network has" in refused.output
    assert len(_stored(place)) == len(before) + 1  # the dense network alone
