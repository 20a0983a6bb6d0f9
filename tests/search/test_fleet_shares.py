"""The fleet as it will be: shares by software and cluster."""

from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord, ClusterRecord, Devices
from hdap.fleet_data.software import format_software
from hdap.search.problem.fleet_shares import fleet_with, parse_shares

SOFTWARE = (
    *[{"runtime": "onnxruntime 1.32", "firmware": "1"}] * 3,
    {"runtime": "ncnn 2026", "firmware": "1"},
    *[{"runtime": "openvino 2026.4", "firmware": "2"}] * 2,
    {},
)
DEVICES = Devices(
    np.array([f"unit-{i}" for i in range(7)], dtype=object), np.array([1.0, 1, 2, 1, 1, 3, 1])
)


@pytest.fixture
def clustering() -> ClusteringRecord:
    nothing = np.zeros(7, dtype=np.bool_)
    return ClusteringRecord(
        "hdbscan",
        {},
        0,
        datetime.now(UTC),
        0,
        1.0,
        DEVICES.ids,
        np.array([0, 0, 0, 1, 2, 2, 0]),
        nothing,
        nothing,
        np.ones(7),
        (),
        np.zeros((7, 0)),
        tuple(ClusterRecord(k, 1, 1 / 3, 1.0, 0.0, 1.0, "", {}) for k in range(3)),
        software=np.array([format_software(s) for s in SOFTWARE], dtype=object),
    )


def weights(clustering: ClusteringRecord, text: str) -> list[float]:
    found: list[float] = fleet_with(parse_shares(text), clustering, DEVICES).weights.tolist()
    return [round(weight, 4) for weight in found]


def test_all_move_to_what_some_run_already(clustering: ClusteringRecord) -> None:
    assert weights(clustering, "firmware=2:100%") == [0, 0, 0, 0, 0.25, 0.75, 0]


def test_the_rest_keeps_its_proportions(clustering: ClusteringRecord) -> None:
    found = weights(clustering, "firmware=2:40%")
    assert found == [0.1, 0.1, 0.2, 0.1, 0.1, 0.3, 0.1]


def test_several_kinds_by_patterns_and_fractions(clustering: ClusteringRecord) -> None:
    found = weights(clustering, "runtime=openvino*:60%, runtime=ncnn*:0.4")
    assert found == [0, 0, 0, 0.4, 0.15, 0.45, 0]


def test_clusters_are_kinds_too_and_a_kind_may_vanish(clustering: ClusteringRecord) -> None:
    assert weights(clustering, "cluster=1:1") == [0, 0, 0, 1, 0, 0, 0]
    assert weights(clustering, "cluster=0:0%,cluster=1:50%") == [0, 0, 0, 0.5, 0.125, 0.375, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("firmware=2", "COLUMN=VALUE:SHARE"),
        ("firmware:50%", "COLUMN=VALUE:SHARE"),
        ("firmware=2:150%", "COLUMN=VALUE:SHARE"),
        ("firmware=2:nan", "COLUMN=VALUE:SHARE"),
        ("colour=red:50%", "runtime, precision, threads, firmware or cluster"),
        ("firmware=1:60%,firmware=2:60%", "at most 100 %"),
        (" , ", "at least one"),
        ("firmware=3:50%", "none is: firmware is 1, 2"),
        ("precision=int8:50%", "no device says its precision"),
        ("firmware=2:50%,runtime=open*:10%", "unit-4 is of runtime=open"),
        ("cluster=*:90%", "must add up to 100 %"),
    ],
)
def test_wrong_shares_are_refused(clustering: ClusteringRecord, text: str, said: str) -> None:
    with pytest.raises(InputError) as told:
        weights(clustering, text)
    assert said in str(told.value)
