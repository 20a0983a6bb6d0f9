import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]
SEARCH = ("search", "--model", "resnet50", "--trials", "100")


def _json(hdap: Hdap, db: Path, *arguments: str) -> Any:
    done = hdap(*arguments, "--json", db=db)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _rows(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["network"]: row for row in document["rows"]}


def test_a_deadline_is_answered_in_shares_of_the_fleet(hdap: Hdap, database: Path) -> None:
    asked = (*SEARCH, "--flops", "1.0G", "--objective", "deadline:20ms")
    document = _json(hdap, database, *asked)
    rows = _rows(document)
    assert document["objective_unit"] == "share"
    assert 0.0 <= rows["dense"]["objective"] < rows["found"]["objective"] <= 1.0
    listed = hdap("trials", db=database)
    assert "within 20 ms, cautious" in listed.stdout
    best = hdap("sql", "SELECT value_1, ucb_ms FROM best_trials", "--json", db=database)
    assert 0.0 < json.loads(best.stdout)[-1]["value_1"] < 1.0


def test_cvar_is_answered_in_milliseconds(hdap: Hdap, database: Path) -> None:
    asked = (*SEARCH, "--flops", "1.0G", "--objective", "cvar:0.9")
    done = hdap(*asked, db=database)
    assert done.exit_code == 0, done.output
    assert "mean of slowest 10 %" in done.stdout
    assert "faster in mean of slowest 10 %" in done.stdout


def test_a_latency_budget_keeps_more_than_uniform_pruning(hdap: Hdap, database: Path) -> None:
    document = _json(hdap, database, *SEARCH, "--latency", "40ms")
    rows = _rows(document)
    assert rows["found"]["fleet_p95_ms"] < 40.0
    uniforms = [row for row in rows.values() if row["step"]]
    assert max(row["fleet_p95_ms"] for row in uniforms) < 40.0
    assert rows["found"]["kept_importance"] > max(row["kept_importance"] for row in uniforms)
    assert document["latency_limit_ms"] == 40.0
    study = hdap("sql", "SELECT objective FROM studies ORDER BY study_id DESC LIMIT 1", db=database)
    assert "kept within p95 40 ms" in study.stdout


def test_both_budgets_hold_at_once(hdap: Hdap, database: Path) -> None:
    asked = ("--latency", "25ms", "--objective", "mean", "--flops", "1.0G")
    rows = _rows(_json(hdap, database, *SEARCH, *asked))
    assert rows["found"]["fleet_mean_ms"] < 25.0
    assert rows["found"]["flops"] <= 1.0e9
    spent = _rows(_json(hdap, database, *SEARCH, *asked, "--flops-tol", "0.05"))["found"]["flops"]
    assert 0.95e9 <= spent <= 1.0e9


def test_a_front_is_printed_stored_and_listed_again(hdap: Hdap, database: Path) -> None:
    asked = (*SEARCH, "--flops", "1.0G", "--objective", "mean,flops,kept", "--study", "front")
    found = _json(hdap, database, *asked)["front"]
    listed = _json(hdap, database, "trials", "--study", "front", "--front")
    assert [{**row, "simulated": False} for row in found] == listed
    sql = "SELECT number FROM pareto_trials WHERE study = 'front'"
    stored = json.loads(hdap("sql", sql, "--json", db=database).stdout)
    assert {row["number"] for row in stored} == {row["number"] for row in found}
    shown = hdap("trials", "--study", "front", "--pareto", "--limit", "4", db=database)
    assert "balanced" in shown.stdout
    assert f"4 of the {len(found)} networks on the front" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    "asked",
    [
        ("--latency", "40ms"),
        ("--flops", "1.0G", "--objective", "mean,kept"),
        ("--flops", "1.0G", "--objective", "cvar:0.9"),
        ("--flops", "1.0G", "--objective", "deadline:20ms"),
    ],
)
def test_every_objective_goes_on_where_it_was_left(
    hdap: Hdap, database: Path, asked: tuple[str, ...]
) -> None:
    search = ("search", "--model", "resnet50", *asked)
    whole = _json(hdap, database, *search, "--study", "whole", "--trials", "120")
    _json(hdap, database, *search, "--study", "halves", "--trials", "60")
    more = _json(hdap, database, "search", "--resume", "halves", "--trials", "120")
    assert more["channels"] == whole["channels"]
    assert more["rows"][-1]["objective"] == whole["rows"][-1]["objective"]


def test_the_bundled_fleet_needs_one_network_and_says_what_it_costs(
    hdap: Hdap, database: Path
) -> None:
    asked = (*SEARCH, "--flops", "1.0G", "--per-cluster", "--study", "own")
    document = _json(hdap, database, *asked)
    told = document["per_cluster"]
    assert told["advised_networks"] == 1
    assert told["advice"].startswith("one network")
    assert len(told["costs_of_one_for_all"]) == 4
    assert max(told["costs_of_one_for_all"]) < 0.02
    sql = (
        "SELECT n.networks, n.cluster, n.cost, n.advised, t.fleet_mean_ms FROM study_networks n "
        "JOIN trials t ON t.study_id = n.study_id AND t.number = n.number ORDER BY 1, 2"
    )
    stored = json.loads(hdap("sql", sql, "--json", db=database).stdout)
    assert [row["cluster"] for row in stored[:4]] == [0, 1, 2, 3]
    assert {row["networks"] for row in stored if row["advised"]} == {1}
    with Store.open(str(database), read_only=True) as store:
        records = store.networks(store.study("own").id)
    assert [(r.networks, r.cluster, r.cost) for r in records] == [
        (row["networks"], row["cluster"], row["cost"]) for row in stored
    ]
    shown = hdap("trials", "--study", "own", "--trial", str(told["splits"][-1]["trials"][0]),
                 db=database)  # fmt: skip
    assert shown.exit_code == 0, shown.output


WRONG = {
    "latency that is no time": (("--latency", "fast"), "20ms"),
    "latency below the fastest": (("--latency", "1ms"), "narrowest allowed network"),
    "latency and a deadline": (("--latency", "20ms", "--objective", "deadline:9ms"), "one latency"),
    "latency by cluster": (("--latency", "40ms", "--per-cluster"), "--objective"),
    "floor above what the latency allows": (("--latency", "40ms", "--floor", "0.95"), "most kept"),
    "two budgets, one too small": (("--latency", "40ms", "--flops", "1M"), "narrowest"),
    "a share of no tail": (("--flops", "1G", "--objective", "cvar:1.5"), "cvar:0.9"),
    "a deadline that is no time": (("--flops", "1G", "--objective", "deadline:soon"), "30ms"),
    "no latency among objectives": (("--flops", "1G", "--objective", "kept"), "mean,kept"),
    "one objective twice": (("--flops", "1G", "--objective", "mean,mean"), "different objectives"),
    "flops without kept": (("--flops", "1G", "--objective", "mean,flops"), "kept"),
    "a sampler for one": (("--flops", "1G", "--objective", "p95,kept", "--sampler=ncs"), "nsga2"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_objectives_and_budgets_are_one_line(hdap: Hdap, database: Path, case: str) -> None:
    arguments, expected = WRONG[case]
    done = hdap("search", "--model", "resnet50", "--trials", "20", *arguments, db=database)
    assert done.exit_code == 1, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert expected in lines[0]
    assert "Traceback" not in done.output
