"""A fleet in the middle of a roll-out, from the bundled demo to the question that it ends in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from hdap.cli import app
from hdap.fleet_data.store import Store

FLEET = Path(__file__).resolve().parents[2] / "hdap" / "data" / "rollout-resnet50.csv.gz"
ASKED = ("--model", "resnet50", "--flops", "1.0G", "--trials", "60")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("rollout") / "rollout.db"
    said = ""
    for words in (("ingest", str(FLEET)), ("search", *ASKED, "--fleet-as", "firmware=2:100%")):
        done = CliRunner().invoke(app, [*words, "--db", str(path)])
        assert done.exit_code == 0, done.output
        said = done.output
    return path, said


def told(database: tuple[Path, str], *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--db", str(database[0]), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_search_says_what_taught_what_and_answers_the_question(
    database: tuple[Path, str],
) -> None:
    said = " ".join(database[1].split())
    assert "onnxruntime float32: learned alone (held-out error" in said
    assert "each precision on the runtimes that the fleet runs in both" in said
    assert "with firmware=2:100% today's network takes" in said


def test_every_runtime_and_precision_has_a_surrogate_that_was_chosen(
    database: tuple[Path, str],
) -> None:
    found = told(database, "fit", "--model", "resnet50")
    assert [state["state"] for state in found["states"]] == [
        "openvino bfloat16",
        "openvino float32",
        "onnxruntime float32",
        "ncnn float32",
    ]
    for state in found["states"]:
        assert state["errors"][state["kind"]] < 0.06
        assert set(state["steps"]) <= {8, 16, 32}


def test_four_arms_and_both_fleets_are_in_the_document(database: tuple[Path, str]) -> None:
    found = told(database, "search", *ASKED, "--fleet-as", "runtime=openvino*:60%,runtime=ncnn*:.4")
    arms = [(a["network"], a["precision"], a["measured"]) for a in found["precisions"]]
    assert arms == [
        ("dense", "float32", True),
        ("pruned", "float32", False),
        ("dense", "bfloat16", True),
        ("pruned", "bfloat16", False),
    ]
    today, then = found["fleets"]["networks"]
    assert found["fleets"]["todays_study"].startswith("resnet50-1.0G-")
    assert today["kept_importance"] >= found["kept_importance_floor"] - 1e-9
    assert then["then_ms"] > 0
    assert isinstance(found["fleets"]["still_the_one_to_ship"], bool)
    assert found["fleets"]["line"].startswith("with runtime=openvino*:60%")
    with Store.open(str(database[0]), read_only=True) as store:
        names = found["study"], found["fleets"]["todays_study"]
        after, before = (store.trials(store.study(name).id) for name in names)
    assert after.number.tolist() == list(range(60))
    (known,) = before.counts[before.number == found["fleets"]["todays_trial"]]
    assert np.array_equal(after.counts[0], known)
    answer = after.number == found["trial"]
    assert after.ucb_ms[answer] <= after.ucb_ms[0]


def test_each_network_is_to_be_exported_for_what_its_devices_run(
    database: tuple[Path, str], tmp_path: Path
) -> None:
    deadline = ("--model", "resnet50", "--latency", "9.7ms", "--networks", "2")
    found = told(database, "search", *deadline, "--study", "two-sizes")
    assert len(found["networks"]) == 2
    out = tmp_path / "assignments.csv"
    asked = told(database, "assign", "--study", "two-sizes", "--out", str(out))
    for network in asked["networks"]:
        assert sum(made["devices"] for made in network["made_for"]) == network["devices"]
    kinds = pl.read_csv(FLEET, columns=["device_id", "runtime", "precision"]).unique()
    runs = {row["device_id"]: row for row in kinds.iter_rows(named=True)}
    rows = pl.read_csv(out)
    assert len(rows) == len(runs)
    for row in rows.iter_rows(named=True):
        mine = runs[row["device_id"]]
        assert mine["runtime"].startswith(row["runtime"])
        assert row["precision"] == mine["precision"]


def test_status_and_devices_say_what_runs(database: tuple[Path, str]) -> None:
    shares = told(database, "status")["software"]
    assert [(s["devices"], s["changed"]) for s in shares] == [(6, 0), (6, 0), (5, 0), (4, 0)]
    device = told(database, "devices", "--limit", "1")[0]
    assert device["software"]["firmware"] in ("1", "2")
    assert device["software_before"] == {}
    assert told(database, "devices", "--changed") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--flops", "1.0G", "--fleet-as", "firmware=3:100%"), "firmware is 1, 2"),
        (("--flops", "1.0G", "--fleet-as", "firmware"), "COLUMN=VALUE:SHARE"),
        (("--flops", "1.0G", "--state", "sustained"), "--sustained 20m"),
        (("--latency", "12ms", "--networks", "2", "--fleet-as", "firmware=2:1"), "--fleet-as"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_line(
    database: tuple[Path, str], words: tuple[str, ...], said: str
) -> None:
    asked = ["search", "--model", "resnet50", *words, "--db", str(database[0])]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code in (1, 2)
    assert said in " ".join(done.stderr.split())
