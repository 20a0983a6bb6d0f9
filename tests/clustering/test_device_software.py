"""What a device runs, and which of its rows are of that."""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hdap.clustering.device_software import (
    current_software,
    runs_current,
    software_columns,
    software_note,
)
from hdap.fleet_data.records import Devices, Measurements, TextColumn
from hdap.fleet_data.software import parse_software

RUNTIMES = ("", "ort", "ov")
PRECISIONS = ("", "float32", "int8")


def rows_of(*rows: tuple[int, str, str, float, bool]) -> Measurements:
    """Rows of (device, runtime, precision, time, dense); a NaN time is unknown."""
    device, runtime, precision, time, dense = (np.array(x) for x in zip(*rows, strict=True))
    n = len(rows)
    return Measurements(
        devices=Devices(np.array(["a", "b", "c"], dtype=object), np.ones(3)),
        models=("m", "m"),
        channels=("", "c=1"),
        runtimes=RUNTIMES,
        device=device,
        configuration=1 - dense.astype(np.int64),
        runtime=np.array([RUNTIMES.index(x) for x in runtime]),
        batch_size=np.ones(n, dtype=np.int64),
        latency_ms=np.ones(n),
        latency_p95_ms=np.full(n, np.nan),
        runs=np.ones(n),
        measured_at=time.astype(np.float64),
        software={
            "precision": TextColumn(np.array([PRECISIONS.index(x) for x in precision]), PRECISIONS)
        },
    )


def told(measurements: Measurements) -> list[dict[str, str]]:
    return [parse_software(text) for text in current_software(measurements)]


def test_the_newest_everyday_row_says_what_a_device_runs() -> None:
    found = rows_of(
        (0, "ov", "", 5e6, True),
        (0, "ort", "int8", 1e6, True),
        (1, "ort", "", np.nan, True),
        (1, "ov", "", np.nan, True),
    )
    # The precision of another runtime says nothing of this one.
    assert told(found) == [{"runtime": "ov"}, {"runtime": "ov"}, {}]
    assert runs_current(found, current_software(found)).tolist() == [True, False, False, True]
    note = software_note(found, current_software(found))
    assert note.startswith("2 rows of 2 devices are of other software")
    assert "a: ort, int8, now ov" in note


def test_a_measured_bundle_does_not_change_what_a_device_serves_with() -> None:
    bundle = [(0, "ort", "float32", 9e6 + i, i % 2 == 0) for i in range(6)]
    found = rows_of((0, "ov", "", 1e6, True), *bundle)
    assert told(found)[0] == {"runtime": "ov"}
    assert runs_current(found, current_software(found)).sum() == 1


def test_what_a_row_does_not_say_contradicts_nothing() -> None:
    found = rows_of((0, "ov", "", 1, True), (0, "", "int8", 2, True), (0, "", "", 3, True))
    assert told(found)[0] == {"runtime": "ov", "precision": "int8"}
    assert runs_current(found, current_software(found)).all()
    assert software_note(found, current_software(found)) == ""


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(RUNTIMES),
            st.sampled_from(PRECISIONS),
            st.integers(0, 10**9),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[3],
    ),
    st.randoms(use_true_random=False),
)
def test_rows_that_are_kept_agree_and_none_is_left_without(rows: Any, random: Any) -> None:
    found = rows_of(*rows)
    software = current_software(found)
    kept = runs_current(found, software)
    assert set(found.device[kept]) == set(found.device)
    for device in set(found.device):
        mine = kept & (found.device == device)
        for codes in (found.runtime, found.software["precision"].codes):
            assert len(set(codes[mine]) - {0}) <= 1
    shuffled = random.sample(rows, len(rows))
    assert current_software(rows_of(*shuffled)).tolist() == software.tolist()


def test_columns_are_those_that_anybody_said() -> None:
    found = rows_of((0, "ov", "", 1, True), (1, "ort", "", 2, True))
    columns = software_columns(current_software(found))
    assert set(columns) == {"runtime"}
    assert [columns["runtime"].texts[code] for code in columns["runtime"].codes] == [
        "ov",
        "ort",
        "",
    ]
    silent = dataclasses.replace(found, runtimes=("", "", ""), software={})
    assert software_columns(current_software(silent)) == {}
