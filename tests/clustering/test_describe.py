import re
from typing import Any

import numpy as np
import pytest

from hdap.clustering.describe import describe
from hdap.clustering.fingerprint import Axis, Fingerprint

DEVICES = 20
MEMBER = np.arange(DEVICES) < 5
FLEET = {
    "offset": 0.0,
    "slope": 0.0,
    "tail": 0.02,
    "spread": 0.02,
    "cpu_freq_mhz": 2500.0,
    "temperature_c": 45.0,
    "cpu_load_pct": 40.0,
}


def prints(special: dict[str, float], axis: Axis = Axis.MEMORY) -> Fingerprint:
    raw = np.tile(np.array(list(FLEET.values())), (DEVICES, 1))
    for name, value in special.items():
        raw[MEMBER, list(FLEET).index(name)] = value
    rows = np.full(DEVICES, 20.0)
    doubt = np.zeros(DEVICES)
    return Fingerprint(tuple(FLEET), np.zeros_like(raw), raw, rows, doubt, {"slope": axis})


def test_what_is_like_the_fleet_is_typical() -> None:
    assert describe(prints({"tail": 0.03, "temperature_c": 47.0}), MEMBER, 1.01) == "typical"


@pytest.mark.parametrize(
    ("special", "relative", "words"),
    [
        ({}, 1.6, "1.60x slower than the fleet"),
        ({}, 1.08, "8 % slower than the fleet"),
        ({}, 0.5, "2.00x faster than the fleet"),
        ({"slope": 0.1}, 1.0, "memory-bound"),
        ({"slope": -0.1}, 1.0, "compute-bound"),
        ({"tail": 0.3}, 1.0, "unsteady tail (p95 35 % above the median)"),
        ({"spread": 0.1}, 1.0, "unsteady (varies by 10 %)"),
        ({"temperature_c": 71.0}, 1.0, "hot (71 °C)"),
        ({"cpu_load_pct": 95.0}, 1.0, "busy (95 % load)"),
        ({"cpu_freq_mhz": 2100.0}, 1.0, "low clock (2,100 MHz)"),
        ({"cpu_freq_mhz": 1040.0}, 1.0, "low clock (1,040 MHz)"),
    ],
)
def test_each_material_difference_has_its_words(
    special: dict[str, float], relative: float, words: str
) -> None:
    assert describe(prints(special), MEMBER, relative) == words


def test_a_low_clock_that_costs_latency_is_throttling() -> None:
    words = describe(prints({"cpu_freq_mhz": 1040.0}), MEMBER, 2.4)
    assert words == (
        "2.40x slower than the fleet; throttles (clock 1,040 MHz, 58 % below the fleet's)"
    )


def test_an_axis_found_in_the_data_is_not_called_memory() -> None:
    large, other = (
        describe(prints({"slope": 0.1}, a), MEMBER, 1.0) for a in (Axis.LARGE, Axis.OTHER)
    )
    assert large == "slow on large networks"
    assert other == "ranks networks in its own way"


def test_the_measured_fleet_is_told_in_words(run: Any, measured: Any) -> None:
    fresh, contended, saving, hot = run(measured("resnet50")).clusters
    assert fresh.description.endswith("% faster than the fleet")
    assert "busy (100 % load)" in contended.description
    assert re.search(r"1\.6\dx slower", saving.description)
    assert "throttles (clock 1,080 MHz" in hot.description


def test_known_memory_boundness_names_the_memory_bound_kind(
    run: Any, simulate: Any, kind: Any
) -> None:
    fleet = simulate([kind(40), kind(20, slope=0.15)], dense=0.2, context=False)
    record = run(fleet.measurements, memory_boundness=fleet.axis)
    slow = record.cluster[np.flatnonzero(fleet.kind == 1)[0]]
    assert "memory-bound" in record.clusters[slow].description
    assert len(record.clusters) == 2
