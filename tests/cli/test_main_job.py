import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]


def _search(hdap: Hdap, db: Path, *more: str) -> dict[str, object]:
    done = hdap(
        *("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "100", "--json", *more),
        db=db,
    )
    assert done.exit_code == 0, done.output
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_the_answer_beats_uniform_and_keeps_the_floor(hdap: Hdap, database: Path) -> None:
    document = _search(hdap, database, "--trials", "400")
    rows = {row["network"]: row for row in document["rows"]}  # type: ignore[attr-defined]
    (uniform,) = (row for row in rows.values() if row["base_line"])
    grids = {name for name, row in rows.items() if row["step"]}
    assert grids == {f"uniform-{step}" for step in (1, 4, 8, 16, 32, 64)}
    found = rows["found"]
    assert found["fleet_mean_ms"] < uniform["fleet_mean_ms"]
    assert found["kept_importance"] >= uniform["kept_importance"] - 1e-6
    assert all(row["flops"] <= 1.0e9 for name, row in rows.items() if name != "dense")
    (as_fast,) = (row for name, row in rows.items() if name.startswith("trial"))
    assert as_fast["fleet_mean_ms"] < 1.01 * uniform["fleet_mean_ms"]
    assert as_fast["kept_importance"] >= found["kept_importance"]
    gain = document["gain_over_best_uniform"]
    assert 1.0 < gain["promised"] < gain["predicted"] < 1.1  # type: ignore[index]


def test_a_uniform_row_can_be_pruned_and_measured_too(hdap: Hdap, database: Path) -> None:
    document = _search(hdap, database, "--trials", "20")
    for row in document["rows"]:  # type: ignore[attr-defined]
        assert len(row["channels"]) == 37
        if row["step"] > 1:
            assert all(count % row["step"] == 0 for count in row["channels"].values())


def test_no_floor_and_no_budget_to_spend_is_no_question(hdap: Hdap, database: Path) -> None:
    done = hdap("search", "--model", "resnet50", "--flops", "1G", "--floor", "0", db=database)
    assert done.exit_code == 1
    assert "--flops-tol" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6


def test_a_lower_floor_is_faster_and_stored_as_what_it_came_to(hdap: Hdap, database: Path) -> None:
    same = _search(hdap, database, "--trials", "100")
    less = _search(hdap, database, "--trials", "100", "--floor-share", "90%")
    floors = [float(str(found["kept_importance_floor"])) for found in (same, less)]
    assert floors[1] == pytest.approx(0.9 * floors[0])
    speed = [found["gain_over_best_uniform"]["promised"] for found in (same, less)]  # type: ignore[index]
    assert speed[1] > speed[0] + 0.05
    with Store.open(f"sqlite:///{database}") as store:
        settings = store.study(str(less["study"])).settings
    assert (settings["floor"], settings["floor_share"]) == (pytest.approx(floors[1]), 1.0)
    more = hdap("search", "--resume", str(less["study"]), "--trials", "120", db=database)
    assert more.exit_code == 0, more.output


def test_search_prints_profile_awareness_table_and_next_commands(
    hdap: Hdap, database: Path
) -> None:
    done = hdap(
        *("search", "--model", "resnet50", "--flops", "25%", "--trials", "100"), db=database
    )
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    for part in (
        "37 width groups",
        "can be met",
        "predicted unless it says measured",
        "best uniform in",
        ", as fast",
        "shapes:",
        "sizes:",
        "next: hdap trials",
    ):
        assert part in text, part
    assert "layer4.2.conv2" not in text
    screen = done.stdout.splitlines()[-24:]
    assert "uniform in 8s" in " ".join(" ".join(screen).split())
    assert sum(line.startswith("found (trial") for line in screen) == 1


def test_bars_of_all_groups_are_told_to_who_wants_all(hdap: Hdap, database: Path) -> None:
    done = hdap(
        *("search", "--model", "resnet50", "--flops", "25%", "--trials", "100", "-v"), db=database
    )
    assert "layer4.2.conv2" in done.stdout


def test_the_same_seed_gives_the_same_answer(hdap: Hdap, database: Path) -> None:
    first = _search(hdap, database, "--seed", "3")
    second = _search(hdap, database, "--seed", "3")
    assert first["channels"] == second["channels"]


def test_a_second_search_reuses_clustering_and_surrogates(hdap: Hdap, database: Path) -> None:
    done = hdap(
        *("search", "--model", "resnet50", "--flops", "2.0G", "--trials", "50"), db=database
    )
    assert "is current" in done.stderr
    assert "surrogates of resnet50 are current" in done.stderr


def test_new_telemetry_makes_clustering_and_surrogates_stale(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.csv"
    more.write_text(
        "device_id,model,latency_ms,timestamp\nunit-de06d5,resnet50,52.5,2026-11-22T00:00:00Z\n"
    )
    assert hdap("ingest", str(more), db=database).exit_code == 0
    status = json.loads(hdap("status", "--json", db=database).stdout)
    assert (status["clustering"], status["models"][0]["surrogates"]) == ("stale", "stale")
    done = hdap(
        *("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "50"), db=database
    )
    assert "telemetry was added since" in done.stderr
    assert "fitting surrogates" in done.stderr


def test_fixed_groups_stay_and_step_and_min_width_hold(hdap: Hdap, database: Path) -> None:
    document = _search(
        *(hdap, database, "--fix", "conv1=64", "--step", "8", "--min-width", "16"),
    )
    channels: dict[str, int] = document["channels"]  # type: ignore[assignment]
    assert channels["conv1"] == 64
    assert all(count % 8 == 0 and count >= 16 for count in channels.values())


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "cmaes", "random", "ncs", "halp"])
def test_base_line_samplers_run_from_the_command_line(
    hdap: Hdap, database: Path, sampler: str
) -> None:
    document = _search(hdap, database, "--sampler", sampler, "--trials", "40")
    assert document["trials"] == 40
    assert document["rows"][-1]["flops"] <= 1.0e9  # type: ignore[index]


def test_a_study_goes_on_where_it_was_left_as_if_it_never_stopped(
    hdap: Hdap, database: Path
) -> None:
    whole = _search(hdap, database, "--study", "whole", "--trials", "200")
    _search(hdap, database, "--study", "halves", "--trials", "100")
    done = hdap("search", "--resume", "halves", "--trials", "200", "--json", db=database)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["channels"] == whole["channels"]


def test_importance_from_a_weights_file_is_used_and_remembered(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    import timm
    import torch

    torch.manual_seed(0)
    weights = tmp_path / "weights.pt"
    torch.save(timm.create_model("resnet50").state_dict(), weights)
    first = _search(hdap, database, "--weights", str(weights))
    assert re.fullmatch(
        r"weights weights.pt \(sha256 [0-9a-f]{12}\), lookahead", str(first["importance"])
    )
    again = hdap(
        *("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "50"), db=database
    )
    assert "channel importance: stored, from weights weights.pt" in again.stderr
