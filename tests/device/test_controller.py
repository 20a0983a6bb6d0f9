"""The controller on traces of clocks and latencies, with a clock that the test turns."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from hdap.device.archive import program
from hdap.device.controller import (
    Budget,
    Controller,
    ControllerSettings,
    DeviceError,
    OperatingTable,
    Point,
    Reading,
    core_maps,
    profiled,
    read_table,
)
from hdap.device.sensors import Sensors

WriteSealed = Callable[[Path, Mapping[str, Any]], None]
CLOCKS = (0.4, 0.6, 0.8, 1.0)
WORK = (4.0, 8.0, 12.0, 16.0)


def _table(power: Sequence[float | None] = (None,) * 4) -> OperatingTable:
    points = tuple(
        Point(i, CLOCKS, tuple(1.0 + work / c for c in CLOCKS), (i + 1) / 4, power_w=power[i])
        for i, work in enumerate(WORK)
    )
    return OperatingTable("net", 0, points, 2000.0)


class Device:
    """A device whose clock, load, heat and battery are set by hand; time moves as it works."""

    def __init__(self, table: OperatingTable, budget: Budget, **settings: Any) -> None:
        self.time, self.clock, self.slower = 0.0, 1.0, 1.0
        self.told: dict[str, float] = {}
        self.readable = True
        self.lines: list[str] = []
        self.table, self.budget, self.settings = table, budget, ControllerSettings(**settings)
        self.switches: list[float] = []

    def read(self) -> Reading:
        return Reading(clock=self.clock if self.readable else None, **self.told)

    def start(self) -> "Device":
        self.controller = Controller(
            self.table, self.budget, self.settings, self.read, self.now, self.lines.append, cores=4
        )
        return self

    def now(self) -> float:
        return self.time

    def run(self, seconds: float, noise: Callable[[], float] = lambda: 1.0) -> list[float]:
        """Latencies (ms) of all inferences that fit into so many seconds."""
        end, found = self.time + seconds, []
        while self.time < end:
            before = self.controller.point
            point = self.controller.decide()
            if point != before:
                self.switches.append(self.time)
            ms = (1.0 + WORK[point.level] / self.clock) * self.slower * noise()
            self.time += ms / 1000
            self.controller.observe(ms)
            found.append(ms)
        return found


def test_a_slower_clock_is_answered_before_the_next_inference() -> None:
    device = Device(_table(), Budget(latency_ms=20.0), sense_s=0.0).start()
    assert device.controller.point.level == 3
    device.clock = 0.4
    assert max(device.run(1.0)) <= 20.0
    assert device.controller.point.level == 0
    assert "to level 0, 1 thread (11 ms predicted at 40 % clock read)" in device.lines[-1]


def test_a_faster_clock_is_used_only_after_the_dwell() -> None:
    device = Device(_table(), Budget(latency_ms=20.0), sense_s=0.0, dwell_s=0.5).start()
    device.clock = 0.4
    device.run(0.2)
    device.clock = 1.0
    device.run(0.4)
    assert device.controller.point.level == 0
    device.run(0.3)
    assert device.controller.point.level == 3
    assert "room for more for" in device.lines[-1]


def test_without_a_readable_clock_own_latencies_tell_and_the_log_says_so() -> None:
    device = Device(_table(), Budget(latency_ms=20.0), dwell_s=0.2)
    device.readable = False
    device.start()
    assert "going by own latencies" in device.lines[0]
    for clock, level in ((1.0, 3), (0.4, 0), (0.8, 2), (0.6, 1)):
        device.clock = clock
        settled = device.run(2.0)[20:]
        assert device.controller.point.level == level
        assert device.controller.clock == pytest.approx(clock, rel=0.02)
        assert max(settled) <= 20.0


def test_what_slows_all_levels_alike_is_learned_from_own_latencies() -> None:
    device = Device(_table(), Budget(latency_ms=20.0)).start()
    device.slower = 1.9
    assert max(device.run(2.0)[10:]) <= 20.0
    assert device.controller.point.level == 1


LEVELS = st.floats(0.2, 1.2)


@given(
    clocks=st.lists(LEVELS, min_size=1, max_size=12),
    seed=st.integers(0, 99),
    readable=st.booleans(),
    noise=st.floats(0.0, 0.5),
    most=st.integers(1, 5),
)
@examples(max_examples=25)
def test_no_trace_makes_more_switches_in_a_second_than_allowed(
    clocks: list[float], seed: int, readable: bool, noise: float, most: int
) -> None:
    rng = np.random.default_rng(seed)
    device = Device(_table(), Budget(latency_ms=20.0), dwell_s=0.0, most_switches=most, sense_s=0.0)
    device.readable = readable
    device.start()
    for clock in clocks:
        device.clock = clock
        device.run(0.2, lambda: float(np.exp(noise * rng.standard_normal())))
    times = np.array(device.switches)
    assert all(((times > t - 1.0) & (times <= t)).sum() <= most for t in times)


def test_noise_at_the_edge_of_two_levels_makes_ever_fewer_switches() -> None:
    rng = np.random.default_rng(0)
    device = Device(_table(), Budget(latency_ms=20.0), dwell_s=0.2)
    device.readable = False
    device.start()
    device.clock = 0.63
    device.run(30.0, lambda: float(np.exp(0.05 * rng.standard_normal())))
    assert len(device.switches) <= 12
    assert sum(t > 15.0 for t in device.switches) <= 4


def test_a_clock_that_swings_is_followed_upwards_less_often() -> None:
    device = Device(_table(), Budget(latency_ms=20.0), sense_s=0.0, dwell_s=0.1).start()
    rises = []
    for half in range(80):
        device.clock = (1.0, 0.4)[half % 2]
        before = len(device.switches)
        device.run(0.18)
        rises.append(len(device.switches) - before if half % 2 == 0 else 0)
    assert sum(rises[2:10]) >= 1  # it was worth trying
    assert sum(rises) <= 22  # of 40 chances


def test_no_better_level_while_hot() -> None:
    device = Device(_table(), Budget(latency_ms=20.0), dwell_s=0.1).start()
    device.clock = 0.4
    device.run(0.5)
    device.clock, device.told = 1.0, {"temperature_c": 95.0}
    device.run(1.0)
    assert device.controller.point.level == 0
    assert "95 degrees are too hot" in device.lines[-1]


def test_a_low_battery_takes_the_least_work_within_the_budget() -> None:
    device = Device(_table(), Budget(latency_ms=20.0), dwell_s=0.1).start()
    device.told = {"battery_pct": 10.0}
    device.run(1.0)
    assert device.controller.point.level == 0
    assert "low battery" in device.lines[-1]


def test_power_and_energy_budgets_choose_by_what_the_device_reported() -> None:
    table = _table((1.0, 2.0, 3.0, 4.0))
    assert Device(table, Budget(power_w=3.1)).start().controller.point.level == 2
    assert Device(table, Budget(energy_mj=20.0)).start().controller.point.level == 1
    both = Device(table, Budget(latency_ms=6.0, power_w=3.1)).start()
    assert both.controller.point.level == 0


def test_an_energy_budget_is_refused_where_the_device_tells_no_power() -> None:
    with pytest.raises(DeviceError, match="needs a device that reports its power"):
        Device(_table(), Budget(energy_mj=1.0)).start()


@pytest.mark.parametrize("budget", [{}, {"latency_ms": 0.0}, {"power_w": float("nan")}])
def test_a_budget_must_limit_something(budget: dict[str, float]) -> None:
    with pytest.raises(DeviceError, match="a budget must be"):
        Budget(**budget)


def test_threads_and_cores_are_points_too_and_busy_cores_rule_threads_out() -> None:
    def run(point: Point) -> float:
        return point.ms_at(1.0) / point.threads

    table = profiled(_table(), run, threads=(1, 4), cores=((), (0, 1)))
    assert len(table.points) == 4 * 3  # four threads need four cores
    device = Device(table, Budget(latency_ms=10.0)).start()
    assert device.controller.decide().threads == 4
    device.told = {"cpu_load_pct": 75.0}
    device.time += 1.0
    assert device.controller.decide().threads == 1


def test_latency_is_a_line_in_one_over_the_clock() -> None:
    point = _table().points[2]
    for clock in (0.3, 0.4, 0.5, 0.77, 1.0, 1.5):
        assert point.ms_at(clock) == pytest.approx(1.0 + 12.0 / clock)
        assert point.clock_of(point.ms_at(clock)) == pytest.approx(clock, rel=1e-3)


def test_kinds_of_cores_are_told_apart(tmp_path: Path) -> None:
    for core, capacity in enumerate((400, 400, 1024)):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}"
        folder.mkdir(parents=True)
        (folder / "cpu_capacity").write_text(f"{capacity}\n")
    assert core_maps(str(tmp_path)) == [(0, 1, 2), (2,), (0, 1)]


def test_sensors_read_the_clock_or_nothing(tmp_path: Path) -> None:
    assert Sensors(str(tmp_path), typical_mhz=2000.0).read().clock is None
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_cur_freq").write_text("1200000\n")
    assert Sensors(str(tmp_path), typical_mhz=2000.0).read().clock == pytest.approx(0.6)


@pytest.fixture
def document() -> dict[str, Any]:
    points = [
        {"clock": c, "level": 0, "latency_ms": [5 / c, 9 / c], "low_ms": [1, 1], "high_ms": [9, 9]}
        for c in CLOCKS
    ]
    return {
        "format": 1,
        "kind": "hdap levels",
        "model": "net",
        "architecture": "a1",
        "fleet": "f1",
        "target_ms": 10.0,
        "levels": [{"kept_importance": k, "accuracy": None} for k in (0.5, 1.0)],
        "clusters": [
            {
                "cluster": 2,
                "typical_mhz": 1000.0,
                "clock_column": "cpu_freq_mhz",
                "points": points,
            }
        ],
    }


def test_a_table_is_read_for_one_cluster(
    document: dict[str, Any], tmp_path: Path, write_sealed: WriteSealed
) -> None:
    write_sealed(tmp_path / "levels.json", document)
    table = read_table(str(tmp_path / "levels.json"), 2, {"model": "net", "fleet": "f1"})
    assert [p.ms for p in table.points][1] == pytest.approx([9 / c for c in CLOCKS])
    with pytest.raises(DeviceError, match="must hold cluster 0, but has 2"):
        read_table(str(tmp_path / "levels.json"), 0)


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        ({"model": "other"}, "model"),
        ({"architecture": "b"}, "network"),
        ({"fleet": "g"}, "cluster"),
    ],
)
def test_a_table_for_something_else_is_refused_in_one_line(
    document: dict[str, Any],
    tmp_path: Path,
    write_sealed: WriteSealed,
    expected: dict[str, str],
    kind: str,
) -> None:
    write_sealed(tmp_path / "levels.json", document)
    with pytest.raises(DeviceError, match=f"a table for another {kind}") as raised:
        read_table(str(tmp_path / "levels.json"), 2, expected)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("change", [{"model": "x"}, {"kind": "y"}, {"format": 9}])
def test_a_changed_file_is_refused(
    document: dict[str, Any], tmp_path: Path, write_sealed: WriteSealed, change: dict[str, Any]
) -> None:
    path = tmp_path / "levels.json"
    write_sealed(path, document)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DeviceError):
        read_table(str(path), 2)


def test_the_one_file_that_travels_needs_nothing_of_hdap(
    document: dict[str, Any], tmp_path: Path, write_sealed: WriteSealed
) -> None:
    write_sealed(tmp_path / "levels.json", document)
    (tmp_path / "controller.pyz").write_bytes(program("controller"))
    told = subprocess.run(
        [
            sys.executable,
            "-I",
            "controller.pyz",
            "levels.json",
            "--cluster",
            "2",
            "--seconds",
            "0.3",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "start with level" in told.stdout
    wrong = subprocess.run(
        [sys.executable, "-I", "controller.pyz", "levels.json", "--cluster", "7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert wrong.returncode == 1
    assert len(wrong.stderr.strip().splitlines()) == 1
