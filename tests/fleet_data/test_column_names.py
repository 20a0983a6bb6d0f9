"""What columns are taken for: certain, said, proposed, or not at all."""

from itertools import permutations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.column_names import (
    ColumnsProposed,
    Naming,
    name_columns,
    unit_in_name,
)
from hdap.fleet_data.ingest.reading import (
    AS_FOUND,
    SourceReading,
    parse_columns,
    parse_decimal,
    parse_delimiter,
    parse_models,
)
from hdap.fleet_data.store import Store
from hdap.fleet_data.telemetry import BY_NAME, REQUIRED
from hdap.fleet_data.units.latency_unit import parse_units


def named(*found: str, **said: Any) -> Naming:
    return name_columns("t.csv", found, SourceReading(**said))


def test_names_of_the_contract_are_themselves() -> None:
    every = tuple(BY_NAME)
    assert name_columns("t.csv", every, AS_FOUND) == Naming(every)
    assert named(*REQUIRED, "ts", "serial").taken == ()


def test_capitals_and_what_nobody_sees_do_not_matter() -> None:
    naming = named("\ufeffDevice_ID", "MODEL\u200b", "Latency_ms", "Runs")
    assert naming.columns == ("device_id", "model", "latency_ms", "runs")
    both = named(*REQUIRED, "Runs", "runs")
    assert both.columns[-2:] == ("Runs", "runs")


@pytest.mark.parametrize("device", ["deviceId", "device", "serial", "host", "serial-number"])
@pytest.mark.parametrize(
    ("latency", "unit"),
    [
        ("latency", ""),
        ("inference_time_us", "us"),
        ("durationNs", "ns"),
        ("latency (s)", "s"),
        ("inference_ms", ""),
        ("latencyMillis", ""),
        ("elapsed_µs", "us"),
    ],
)
@pytest.mark.parametrize("time", ["ts", "time", "@timestamp"])
def test_common_names_are_proposed_and_taken_only_where_somebody_agrees(
    device: str, latency: str, unit: str, time: str
) -> None:
    found = (device, "model", latency, time, "note")
    with pytest.raises(ColumnsProposed, match="--yes") as proposed:
        named(*found)
    agreed = named(*found, agreed=True)
    assert agreed == proposed.value.proposal
    assert agreed.columns == ("device_id", "model", "latency_ms", "timestamp", "note")
    assert agreed.unit == unit
    assert f"--unit {unit}" in str(proposed.value) or not unit


def test_a_proposal_does_not_depend_on_the_order_of_columns() -> None:
    found = ("serial", "device", "net", "duration", "latency_us")
    for order in permutations(found):
        said = {"columns": {"net": "model"}, "agreed": True}
        assert set(named(*order, **said).taken) == {
            ("device", "device_id"),
            ("net", "model"),
            ("latency_us", "latency_ms"),
        }


def test_what_was_said_comes_before_what_is_common() -> None:
    naming = named(
        "device", "serial", "model", "a", columns={"serial": "device_id", "a": "latency_ms"}
    )
    assert naming.columns == ("device", "device_id", "model", "latency_ms")


@pytest.mark.parametrize(
    ("found", "said", "problem"),
    [
        (("device_id", "model"), {}, "missing: latency_ms"),
        (("device_id", "model", "speed"), {}, r"--map NAME=latency_ms"),
        (REQUIRED, {"columns": {"lat": "latency_ms"}}, "must name a column of t.csv, which has"),
        ((*REQUIRED, "x"), {"columns": {"x": "model"}}, "'model' again"),
        (("device", "model", "latency_us", "p95_ms"), {"agreed": True}, "must be in one unit"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    found: tuple[str, ...], said: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        named(*found, **said)
    assert "\n" not in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(found=st.lists(st.text("deviclatny_ms @(µ)TS", max_size=12), max_size=6))
def test_any_header_is_named_or_refused_in_our_words(found: list[str]) -> None:
    try:
        naming = named(*found, agreed=True)
    except InputError:
        return
    assert set(naming.columns) >= set(REQUIRED)
    assert len(naming.columns) == len(found)


@pytest.mark.parametrize(
    ("name", "apart"),
    [
        ("latency", ("latency", "")),
        ("us", ("us", "")),
        ("inferenceTimeUs", ("inference_time", "us")),
        ("latency[ns]", ("latency", "ns")),
        ("latency_min", ("latency_min", "")),
        ("status", ("status", "")),
    ],
)
def test_units_are_words_at_the_end_of_names(name: str, apart: tuple[str, str]) -> None:
    assert unit_in_name(name) == apart


@pytest.mark.parametrize("pairs", [["a"], ["=model"], ["a="], ["a=modl"], ["a=model", "b=model"]])
def test_a_map_that_cannot_be_is_refused(pairs: list[str]) -> None:
    with pytest.raises(InputError, match="--map"):
        parse_columns(pairs)


def test_pairs_are_read() -> None:
    assert parse_columns(["a=b=model"]) == {"a=b": "model"}
    assert parse_models(["A=resnet50@3x288x288", "b=p.m:f", "c=net.pt2"]) == {
        "A": "resnet50@3x288x288",
        "b": "p.m:f",
        "c": "net.pt2",
    }
    with pytest.raises(InputError, match="one thing of A"):
        parse_models(["A=x", "A=y"])
    with pytest.raises(InputError, match="what follows @"):
        parse_models(["A=resnet50@big"])
    assert [parse_delimiter(x) for x in ("tab", ";", "|")] == ["\t", ";", "|"]
    assert [parse_decimal(x) for x in (",", "comma", ".")] == [",", ",", "."]
    for bad in ("", "ab", '"', "a", "\n", "é"):
        with pytest.raises(ValueError, match="one character"):
            parse_delimiter(bad)
    with pytest.raises(ValueError, match="decimal sign"):
        parse_decimal(";")


FRAME = pl.DataFrame({"host": ["a", "b"], "model": ["R", "S"], "duration_us": [12_500.0, 9_000.0]})


def test_the_name_of_the_latencies_says_their_unit_unless_somebody_does(store: Store) -> None:
    report = ingest(store, FRAME, reading=SourceReading(agreed=True, models={"R": "resnet50"}))
    assert report.columns_read == ("host=device_id", "duration_us=latency_ms", "unit=us")
    assert report.models == ("S", "resnet50")
    assert sorted(store.measurements().latency_ms.tolist()) == [9.0, 12.5]
    said = ingest(store, FRAME, reading=SourceReading(agreed=True), units=parse_units(["ns"]))
    assert said.columns_read == ("host=device_id", "duration_us=latency_ms")


def test_a_model_that_must_not_be_stored_leaves_nothing(store: Store) -> None:
    asked: list[list[str]] = []

    def refuse(models: Any) -> tuple[str, ...]:
        asked.append(list(models))
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        ingest(store, FRAME, reading=SourceReading(agreed=True), check_models=refuse)
    assert len(store.measurements()) == 0
    said = SourceReading(agreed=True, models={"R": "R"})
    with pytest.raises(InputError, match="no"):
        ingest(store, FRAME, reading=said, check_models=refuse)
    ingest(store, FRAME, reading=said)
    ingest(store, FRAME, reading=said, check_models=refuse)  # known: nobody asks again
    assert asked == [["R", "S"], ["S"]]
