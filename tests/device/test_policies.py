"""Policies on states that are written down."""

from dataclasses import replace

import pytest

from hdap.device.messages import DeviceError
from hdap.device.policies.base import Decision, Policy, State
from hdap.device.policies.device_limits import Battery, Heat, MemoryLeft, MemoryLimit
from hdap.device.policies.named_variants import Fixed, ScheduledVariant
from hdap.device.policies.registry import read_policy, require_possible
from hdap.device.policies.request_limits import LatencyTarget, Load
from hdap.device.variant_chooser import SwitchSettings

QUIET = State(
    names=("v0", "v1", "v2", "v3"),
    current=0,
    costs_ms=(5.0, 10.0, 20.0, 40.0),
    memory_mb=(100.0, 120.0, 140.0, 180.0),
    cores=2,
    available_mb=1000.0,
    battery_pct=90.0,
    temperature_c=40.0,
    hour=12.0,
)


@pytest.mark.parametrize(
    ("policy", "state", "variant", "reason"),
    [
        (Fixed("v2"), QUIET, 2, "fixed"),
        (LatencyTarget(25.0), QUIET, 2, "v3 at 40 ms p95 of 25 ms (beyond the limit)"),
        # the current one takes four times its cost now, so would the others
        (LatencyTarget(25.0), replace(QUIET, p95_ms=20.0), 0, "v1 at 40 ms"),
        (Load(0.7), QUIET, 3, "v3 at 0 requests/s"),
        (Load(0.7), replace(QUIET, rate=50.0), 2, "v3 at 50 requests/s takes 100 % of 2 cores"),
        (Load(0.7, 8), replace(QUIET, current=2, queue=12), 1, "12 waiting"),
        (MemoryLimit(150.0), QUIET, 1, "v2 at 140 MB of 150 MB (too near the limit)"),
        (MemoryLimit(150.0), replace(QUIET, current=2), 2, "v3 at 180 MB"),
        (MemoryLeft(500.0), replace(QUIET, available_mb=560.0), 0, "v1 leaves 540 MB"),
        (Battery(20.0), replace(QUIET, battery_pct=15.0), 0, "at a charge of 15 %"),
        (Battery(20.0), replace(QUIET, battery_pct=None), 3, "does not tell its charge"),
        (Heat(80.0), replace(QUIET, temperature_c=85.0), 0, "at 85 degrees"),
        (ScheduledVariant(((8.0, 20.0, "v1"),)), QUIET, 1, "schedule from 8 to 20"),
        (
            ScheduledVariant(((20.0, 8.0, "v1"),)),
            replace(QUIET, hour=3.0),
            1,
            "schedule from 20 to 8",
        ),
        (ScheduledVariant(((20.0, 8.0, "v1"),)), QUIET, 3, "nothing at this hour"),
    ],
)
def test_what_a_policy_says(policy: Policy, state: State, variant: int, reason: str) -> None:
    wish = policy.decide(state)
    assert wish.variant == variant
    assert reason in wish.reason


def test_a_policy_that_no_variant_satisfies_says_the_nearest_in_one_line() -> None:
    with pytest.raises(DeviceError, match="the nearest is v0 at 5 ms p95 of 1 ms") as raised:
        require_possible(LatencyTarget(1.0), QUIET)
    assert "\n" not in str(raised.value)
    with pytest.raises(DeviceError, match="the nearest is v0 at 100 MB of 50 MB"):
        require_possible(MemoryLimit(50.0), QUIET)
    require_possible(LatencyTarget(5.0), QUIET)


@pytest.mark.parametrize(
    "text",
    [
        *("", "speed:1", "latency", "latency:-1", "latency:3 parsecs", "latency:nan", "latency:0"),
        *(
            "load:0.7/x",
            "load:0.7/0",
            "load:0.7/0.5",
            "memory:1e9",
            "schedule:8-20",
            "schedule:8-25=v1",
        ),
        *("battery:x", "temperature:-5"),
    ],
)
def test_a_policy_that_cannot_be_read_is_one_line_with_the_form(text: str) -> None:
    with pytest.raises(DeviceError, match="policy") as raised:
        read_policy([text])
    assert "\n" not in str(raised.value)


def test_units_are_understood() -> None:
    (a, b, c) = read_policy(["latency:0.03s", "memory:1.5GB", "load:70%"]).parts
    assert a == LatencyTarget(30.0)
    assert b == MemoryLimit(1536.0)
    assert isinstance(c, Load)
    assert c.share == pytest.approx(0.7)
    assert c.queue == 8


def test_settings_that_allow_no_way_back_are_refused() -> None:
    with pytest.raises(DeviceError, match="two switches or more"):
        SwitchSettings(most_switches=1)


def test_a_wish_says_whether_it_is_met() -> None:
    assert Decision(0, "why").met
