"""Running without rest on a device that heats up and throttles (simulated), and for real."""

from dataclasses import dataclass, field
from math import exp
from pathlib import Path

import pytest

from hdap.device.measure.protocol import Stopwatch
from hdap.device.measure.sustained import COLUMNS, _append, duration, report, run_without_rest
from hdap.device.messages import DeviceError
from hdap.simulation.thermal import Thermal


@dataclass
class HotDevice:
    """A simulated device under full load: one thermal mass that throttles above a temperature."""

    base_s: float = 0.05
    thermal: Thermal = field(default_factory=lambda: Thermal(power_w=18.0, tau_s=60.0))
    now_s: float = 0.0
    level: float = 1.0
    temperature: float = 25.0
    decided: float = 0.0

    def run(self) -> None:
        """One inference; heat and clock follow."""
        took, t = self.base_s / self.level, self.thermal
        self.now_s += took
        goal = t.ambient_c + t.resistance * t.power_w * self.level**3
        self.temperature += (goal - self.temperature) * (1 - exp(-took / t.tau_s))
        if self.now_s - self.decided >= t.reaction_s:
            self.decided = self.now_s
            if self.temperature > t.throttle_c:
                self.level = max(self.level - t.clock_step, t.lowest_clock)
            elif self.temperature < t.throttle_c - t.hysteresis:
                self.level = min(self.level + t.clock_step, 1.0)

    def sample(self) -> dict[str, float]:
        """What its sensors say."""
        return {"temperature_c": self.temperature}


def watched(device: HotDevice) -> Stopwatch:
    return Stopwatch(device.run, now=lambda: device.now_s)


def test_rows_of_another_kind_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    _append(str(path), [])
    _append(str(path), [dict.fromkeys(COLUMNS, "1")])
    assert len(path.read_text().splitlines()) == 2
    path.write_text("device_id,model\n")
    with pytest.raises(DeviceError, match="another kind"):
        _append(str(path), [])


def test_a_device_that_throttles_is_slower_in_its_last_minute() -> None:
    device = HotDevice()
    first, last = run_without_rest(watched(device), 1200.0, device.sample)
    assert first.median_ms == pytest.approx(50.0, rel=0.02)
    assert last.median_ms > 1.1 * first.median_ms
    assert (first.start, round(last.start)) == (0.0, 1140)
    assert last.context["temperature_c"] > first.context["temperature_c"] + 5
    assert sum(first.latencies) == pytest.approx(60.0, abs=0.2)
    assert report(first, last).endswith("x slower")


def test_a_device_that_stays_cool_is_as_fast_in_its_last_minute() -> None:
    device = HotDevice(thermal=Thermal(power_w=2.0))
    first, last = run_without_rest(watched(device), 300.0, device.sample)
    assert last.median_ms == pytest.approx(first.median_ms)


def test_a_short_run_has_short_windows_and_one_inference_is_none() -> None:
    device = HotDevice()
    first, last = run_without_rest(watched(device), 8.0, device.sample)
    assert sum(first.latencies) == pytest.approx(2.0, abs=0.1)
    assert last.start == pytest.approx(6.0, abs=0.3)
    with pytest.raises(DeviceError, match="longer --sustained"):
        run_without_rest(watched(HotDevice(base_s=9.0)), 8.0, device.sample)


def test_durations_are_read_as_people_write_them() -> None:
    assert [duration(text) for text in ("20m", "90s", "1h", "90")] == [1200, 90, 3600, 90]
    for wrong in ("", "m", "-5m", "2s", "nan", "5 weeks"):
        with pytest.raises(Exception, match="must be at least 4s"):
            duration(wrong)
