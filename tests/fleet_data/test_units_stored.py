"""Rows in another unit are set aside for every reader, named, and repaired; on both databases."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from hdap.fleet_data import folded_parts
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import IngestReport, ingest
from hdap.fleet_data.store import Store, unit_levels
from hdap.fleet_data.units.latency_unit import parse_units

ROWS = 12
Load = Callable[..., IngestReport]


def csv_of(values: Mapping[str, float], model: str = "net") -> str:
    """`ROWS` rows of each device around its value; the third is as far apart as pruning makes."""
    lines = [
        f"{device},{model},{value * (1 + row / 100)},{value * 1.2},2026-01-{row + 1:02}T00:00:00Z"
        for device, value in values.items()
        for row in range(ROWS)
    ]
    return "device_id,model,latency_ms,latency_p95_ms,timestamp\n" + "\n".join(lines) + "\n"


def fleet(**others: float) -> dict[str, float]:
    return {f"unit-{i}": 60.0 + 5 * i for i in range(8)} | {
        name.replace("_", "-"): value for name, value in others.items()
    }


@pytest.fixture
def load(store: Store, tmp_path: Path) -> Load:
    def load(
        values: Mapping[str, float], name: str = "t.csv", *units: str, **more: object
    ) -> IngestReport:
        path = tmp_path / name
        path.write_text(csv_of(values, str(more.pop("model", "net"))))
        return ingest(store, path, units=parse_units(units, bool(more.pop("sure", False))))

    return load


def counted(store: Store) -> dict[str, float]:
    """The median of each device whose rows count."""
    found = store.measurements()
    ids = found.devices.ids[found.device]
    return {str(d): float(np.median(found.latency_ms[ids == d])) for d in np.unique(ids)}


def test_a_device_in_microseconds_is_named_and_counts_for_no_reader(
    load: Load, store: Store, tmp_path: Path
) -> None:
    report = load(fleet(unit_7=95_000.0))
    assert report.added == 8 * ROWS
    (found,) = report.set_aside
    assert found.says == "unit-7 looks like microseconds: 1,000x the fleet; 12 rows"
    assert found.repair == f"hdap ingest {tmp_path / 't.csv'} --unit unit-7=us"
    assert store.set_aside() == report.set_aside
    assert max(counted(store).values()) < 110
    for table in ("measurements", "telemetry"):
        rows = store.query(f"SELECT count(*), max(latency_ms) FROM {table}").rows
        assert rows[0][0] == 7 * ROWS
        assert rows[0][1] < 110
    aside = store.query("SELECT device_id, looks_like_ms, factor FROM set_aside").rows
    assert set(aside) == {("unit-7", 1e-3, 1e3)}
    assert [c.devices for c in store.model_counts()] == [7]


@pytest.mark.parametrize("said", [("us",), ("unit-7=us",)])
def test_the_same_file_with_its_unit_repairs_what_was_stored(
    load: Load, store: Store, said: tuple[str, ...]
) -> None:
    wrong = fleet(unit_7=95_000.0)
    load(wrong)
    mark = store.measurement_mark()
    report = load(wrong, "t.csv", *said)
    assert (report.added, report.known, report.read_anew) == (0, 8 * ROWS, ROWS)
    assert report.set_aside == store.set_aside() == ()
    assert counted(store)["unit-7"] == pytest.approx(95 * 1.055)
    assert counted(store)["unit-0"] == pytest.approx(60 * 1.055)
    p95 = store.query("SELECT max(latency_p95_ms) FROM telemetry").rows[0][0]
    assert p95 == pytest.approx(95 * 1.2)
    assert store.measurement_mark() > mark
    before = store.query("SELECT * FROM all_measurements ORDER BY measurement_id").rows
    for again in ((), said):
        report = load(wrong, "t.csv", *again)
        assert (report.added, report.read_anew, report.set_aside) == (0, 0, ())
    after = store.query("SELECT * FROM all_measurements ORDER BY measurement_id").rows
    assert [r[5:] for r in after] == [r[5:] for r in before]


def test_a_first_ingest_may_say_the_unit_at_once(load: Load, store: Store) -> None:
    for name, values in (("a.csv", fleet(unit_7=95_000.0)), ("b.csv", {"late": 64_000.0})):
        report = load(values, name, "us")
        assert report.read_anew == ROWS
        assert report.set_aside == ()
    assert min(counted(store).values()) > 60
    assert max(counted(store).values()) < 110


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e3, "us"), (1e-3, "s"), (1e6, "ns"), (1 / 6e4, "min")]
)
def test_a_whole_file_is_told_by_the_fleet_that_is_stored(
    load: Load, store: Store, tmp_path: Path, factor: float, unit: str
) -> None:
    load(fleet())
    late = {f"new-{i}": (70.0 + i) * factor for i in range(30)}
    report = load(late, "late.csv")
    (found,) = report.set_aside
    assert (len(found.devices), found.rows, found.whole) == (30, 30 * ROWS, True)
    assert found.repair == f"hdap ingest {tmp_path / 'late.csv'} --unit {unit}"
    assert set(counted(store)) == set(fleet())
    assert load(late, "late.csv", unit).set_aside == ()
    assert len(counted(store)) == 38
    assert max(counted(store).values()) < 120


def test_a_whole_file_is_told_by_the_architecture_once_that_is_known(
    load: Load, store: Store, architecture: Callable[[str], Architecture]
) -> None:
    values = {name: value / 1e3 for name, value in fleet().items()}
    assert load(values, model="resnet50").set_aside == ()
    mark = store.measurement_mark()
    store.save_architecture(architecture("resnet50"))
    (found,) = store.set_aside()
    assert found.says.startswith("8 devices look like seconds: 0.08")
    assert found.says.endswith("ms for resnet50 is faster than any device; 96 rows")
    assert len(store.measurements()) == 0
    assert store.measurement_mark() > mark
    assert load(values, "t.csv", "s", model="resnet50").set_aside == ()
    assert counted(store)["unit-0"] == pytest.approx(60 * 1.055)


def test_what_was_set_aside_comes_back_when_more_of_the_fleet_says_so(
    load: Load, store: Store
) -> None:
    load({"alone": 7_000.0, "other": 7.0})
    assert set(counted(store)) == {"alone"}
    load({f"unit-{i}": 6.5 for i in range(5)}, "more.csv")
    assert set(counted(store)) == {"other"} | {f"unit-{i}" for i in range(5)}
    assert [s.says for s in store.set_aside()] == [
        "alone looks like microseconds: 1,000x the fleet; 12 rows"
    ]


def test_a_unit_that_is_wrong_is_named_and_what_is_sure_is_believed(
    load: Load, store: Store
) -> None:
    load(fleet())
    odd = {"odd": 0.08}
    assert [s.says for s in load(odd, "odd.csv").set_aside] == [
        "odd looks like seconds: 1/1,000 of the fleet; 12 rows"
    ]
    assert load(odd, "odd.csv", "ms").set_aside
    assert load(odd, "odd.csv", "ms", sure=True).set_aside == ()
    assert counted(store)["odd"] == pytest.approx(0.08 * 1.055)
    load({"another": 71.0}, "later.csv")
    assert store.set_aside() == ()


def test_slow_devices_and_slow_networks_stay(load: Load, store: Store) -> None:
    report = load(fleet(slow=210.0, slower=750.0))
    report = load({f"unit-{i}": 3.0 for i in range(8)}, "small.csv", model="small")
    assert report.set_aside == ()
    assert len(store.measurements()) == (10 + 8) * ROWS


def test_a_unit_of_a_device_that_the_file_has_not_is_refused_and_nothing_lands(
    load: Load, store: Store
) -> None:
    with pytest.raises(InputError, match="none of that name"):
        load(fleet(), "t.csv", "cam-1=us")
    assert len(store.measurements()) == 0


def test_of_many_rows_a_sample_is_looked_at_and_every_new_device_is(
    load: Load, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_levels, "ALL_ROWS", 30)
    monkeypatch.setattr(unit_levels, "BLOCK_ROWS", 5)
    monkeypatch.setattr(folded_parts, "MOST_ROWS", 10)
    load(fleet())
    (found,) = load({"new-1": 70.0, "new-2": 70_000.0}, "late.csv").set_aside
    assert found.devices == ("new-2",)
    assert len(counted(store)) == 9
