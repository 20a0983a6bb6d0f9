"""Several networks for one deadline: found, assigned, and assigned again as devices change."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]
ASKED = ("--model", "resnet50", "--latency", "20ms", "--trials", "80")


@pytest.fixture(scope="module")
def sized(
    hdap: Hdap, searched: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, object]]:
    db = Path(shutil.copy(searched, tmp_path_factory.mktemp("sized") / "hdap.db"))
    done = hdap("search", *ASKED, "--networks", "3", "--study", "sizes", "--json", db=db)
    assert done.exit_code == 0, done.output
    return db, json.loads(done.stdout)


@pytest.fixture
def database(sized: tuple[Path, dict[str, object]], tmp_path: Path) -> Path:
    return Path(shutil.copy(sized[0], tmp_path / "hdap.db"))


def everyday(device: str, ms: float, rows: int = 12) -> str:
    return "".join(
        f"{device},resnet50,onnxruntime-cpu-1t,{ms * (1 + 0.004 * (i % 3 - 1)):.3f},"
        f"2026-11-25T{i:02d}:00:00Z\n"
        for i in range(rows)
    )


def ingest(hdap: Hdap, db: Path, rows: str) -> None:
    file = db.parent / "later.csv"
    file.write_text(f"device_id,model,runtime,latency_ms,timestamp\n{rows}")
    assert hdap("ingest", str(file), db=db).exit_code == 0


def dense_ms(db: Path, device: str) -> float:
    with Store.open(str(db)) as store:
        query = (
            f"SELECT avg(latency_ms) FROM telemetry WHERE channels = '' AND device_id = '{device}'"
        )
        return float(store.query(query).rows[0][0])


def test_three_networks_keep_most_of_what_sizes_can_bring(
    sized: tuple[Path, dict[str, object]],
) -> None:
    found: dict[str, list[dict[str, float]]] = sized[1]  # type: ignore[assignment]
    one, _, three = found["numbers_of_networks"]
    assert three["recovered"] >= 0.8
    assert three["kept"] > 1.3 * one["kept"]
    assert three["in_time"] >= 0.95
    typical = found["from_one_device"][0]
    assert typical["late"] > 1 / 3
    assert sum(network["devices"] for network in found["networks"]) == 24


def test_every_device_has_a_trial_of_the_study(hdap: Hdap, database: Path) -> None:
    rows = json.loads(hdap("sql", "SELECT * FROM assignment_summary", "--json", db=database).stdout)
    assert sum(row["devices"] for row in rows) == 24
    assert all(row["slowest_ms"] < 20.0 for row in rows)


def test_a_device_that_slowed_down_moves_once_it_is_said_so(hdap: Hdap, database: Path) -> None:
    with Store.open(str(database)) as store:
        record = store.study("sizes")
        first = store.assignments(record.id)
    device = str(first.device_ids[first.number == first.number[0]][0])
    ingest(hdap, database, everyday(device, 2.2 * dense_ms(database, device)))
    told = hdap("assign", db=database)
    assert "1 device would move, 1 to a smaller network" in told.output
    with Store.open(str(database)) as store:  # nothing moved yet
        assert (store.assignments(record.id).number == first.number).all()
    assert hdap("assign", "--apply", db=database).exit_code == 0
    with Store.open(str(database)) as store:
        now = store.assignments(record.id)
    moved = now.device_ids[now.number != now.number_before]
    assert moved.tolist() == [device]
    assert "no device moves" in hdap("assign", db=database).output


def test_a_device_never_seen_is_assigned_after_its_first_rows(
    hdap: Hdap, database: Path, tmp_path: Path
) -> None:
    ingest(hdap, database, everyday("brand-new", 52.0, rows=4))
    told = json.loads(hdap("assign", "--json", "--device", "brand-new", db=database).stdout)
    assert told["new"] == 1
    assert any("runs this" in text for text in told["reason"])
    out = tmp_path / "assignments.csv"
    assert hdap("assign", "--apply", "--out", str(out), db=database).exit_code == 0
    with out.open(newline="") as file:
        rows = {row["device_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 25
    assert rows["brand-new"]["in_time"] == "yes"
    assert float(rows["brand-new"]["predicted_ms"]) < 20.0


def test_a_reason_has_all_networks(hdap: Hdap, database: Path) -> None:
    with Store.open(str(database)) as store:
        name = str(store.assignments(store.study("sizes").id).device_ids[0])
    told = hdap("assign", "--device", name, db=database).output
    assert told.count("% sure within 20 ms") == 3
    assert told.count("runs this") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("search", "--model", "resnet50", "--networks", "2"), "give --latency 20ms"),
        (("search", *ASKED, "--networks", "7"), "a number in 1..6"),
        (("search", *ASKED, "--networks", "2", "--objective", "p95"), "no other objective"),
        (("search", *ASKED, "--networks", "2", "--share", "0"), "a share above 0"),
        (("search", *ASKED, "--networks", "2", "--per-cluster"), "without --per-cluster"),
        (("search", *ASKED, "--networks", "2", "--timeout", "3"), "--timeout"),
        (
            ("search", "--model", "resnet50", "--latency", "1ms", "--networks", "2"),
            "raise --latency",
        ),
        (("search", "--resume", "sizes"), "cannot be gone on with"),
        (("assign", "--study", "resnet50-1.0G-1"), "looked for one"),
        (("assign", "--device", "nobody"), "no device 'nobody'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    hdap: Hdap, database: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = hdap(*arguments, db=database)
    assert done.exit_code in (1, 2)
    error = done.exception if done.exit_code == 1 and not done.output else None
    assert says in " ".join(f"{done.output} {error or ''}".split())


def test_without_several_networks_nobody_is_assigned(hdap: Hdap, searched: Path) -> None:
    done = hdap("assign", db=searched)
    assert done.exit_code == 1
    assert "--networks auto" in done.output
