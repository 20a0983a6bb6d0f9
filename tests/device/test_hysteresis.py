"""Wishes over a time that the test moves: by themselves, and of the two that use them."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.device.controller import Budget, Controller, ControllerSettings
from hdap.device.hysteresis import Hysteresis
from hdap.device.messages import DecisionLog
from hdap.device.operating_table import OperatingTable, Point
from hdap.device.policies.base import Decision, Policy, State
from hdap.device.sensors import Reading
from hdap.device.variant_chooser import SwitchSettings, VariantChooser

At = Callable[[float, int], int]
"""From a time (s) and what is wished then, 0 or 1, to what runs after it; 0 runs at the start."""

WISHES = st.lists(st.tuples(st.integers(0, 3), st.floats(0.01, 5.0)), max_size=200)


@given(wishes=WISHES, dwell=st.floats(0.0, 3.0), most=st.integers(2, 5), within=st.floats(0.5, 20))
def test_no_wishes_make_more_switches_than_allowed(
    wishes: list[tuple[int, float]], dwell: float, most: int, within: float
) -> None:
    steady = Hysteresis[int](dwell, 300.0, most, within)
    current, now, times = 3, 0.0, []
    for wanted, pause in wishes:
        now += pause
        chosen = steady.decide(current, wanted, now)
        if chosen is not None:
            assert chosen != current
            current = chosen
            times.append(now)
    for i, at in enumerate(times):
        assert sum(t - at <= within for t in times[i:]) <= most


@given(wishes=WISHES, dwell=st.floats(0.1, 3.0))
def test_a_better_variant_was_allowed_all_the_time_of_the_dwell(
    wishes: list[tuple[int, float]], dwell: float
) -> None:
    steady = Hysteresis[int](dwell, 300.0, 50, 1.0)
    current, now = 0, 0.0
    told: list[tuple[float, int]] = []
    for wanted, pause in wishes:
        now += pause
        told.append((now, wanted))
        chosen = steady.decide(current, wanted, now)
        if chosen is not None and chosen > current:
            before = [t for t, _ in told if now - t >= dwell]
            assert before
            assert all(w >= chosen for t, w in told if t >= before[-1])
        current = current if chosen is None else chosen


def test_a_faster_variant_follows_at_once_and_a_mistake_makes_it_wait_longer() -> None:
    steady = Hysteresis[int](1.0, 300.0, 50, 1.0)
    current, now, rises = 3, 0.0, []
    for _ in range(400):
        now += 0.1
        # v3 is too slow whenever it runs, and seems to be fine whenever it does not
        wanted = 0 if current == 3 else 3
        chosen = steady.decide(current, wanted, now)
        if current == 3:
            assert chosen == 0
        if chosen == 3:
            rises.append(now)
        current = current if chosen is None else chosen
    waits = [b - a for a, b in pairwise(rises)]
    assert len(rises) <= 6
    assert all(later >= 1.8 * before for before, later in pairwise(waits))


def _alone() -> At:
    steady, current = Hysteresis[int](1.0, 60.0, 50, 1.0), [0]

    def at(now: float, wanted: int) -> int:
        chosen = steady.decide(current[0], wanted, now)
        current[0] = current[0] if chosen is None else chosen
        return current[0]

    return at


def _controller() -> At:
    clocks, time, clock = (0.4, 1.0), [0.0], [0.4]
    points = [
        Point(i, clocks, tuple(work / c for c in clocks), float(i))
        for i, work in enumerate((4, 16))
    ]
    controller = Controller(
        OperatingTable("net", 0, tuple(points), 1.0),
        Budget(latency_ms=20.0),
        ControllerSettings(dwell_s=1.0, sense_s=0.0, most_switches=50),
        lambda: Reading(clock=clock[0]),
        lambda: time[0],
        cores=1,
    )

    def at(now: float, wanted: int) -> int:
        time[0], clock[0] = now, clocks[wanted]
        return controller.decide().level

    return at


def _switcher() -> At:
    class Wanted(Policy):
        place = 0

        @classmethod
        def read(cls, text: str) -> "Wanted":
            return cls()

        def decide(self, state: State) -> Decision:
            return Decision(self.place, "wanted")

    policy, current = Wanted(), [0]
    log = DecisionLog(lambda line: None, lambda: 0.0)
    chooser = VariantChooser(policy, SwitchSettings(dwell_s=1.0, most_switches=50), log)

    def at(now: float, wanted: int) -> int:
        policy.place = wanted
        chosen = chooser.choose(State(("v0", "v1"), current[0], (1.0, 2.0)), now)
        current[0] = current[0] if chosen is None else chosen[0]
        return current[0]

    return at


@pytest.mark.parametrize("user", [_alone, _controller, _switcher])
@pytest.mark.parametrize(("wished", "rises"), [(3.0, 5.0), (5.625, 6.625)])
def test_a_doubled_dwell_is_forgotten_after_twice_its_length_without_a_mistake(
    user: Callable[[], At], wished: float, rises: float
) -> None:
    at = user()
    assert at(0.0, 1) == 0
    assert at(1.0, 1) == 1
    # a mistake at 1.5: the dwell of 1 s is now 2 s, and 1 s again after 1.5 + 2 * 2 = 5.5
    assert at(1.5, 0) == 0
    now, risen = 1.5, math.inf
    while now < 10.0 and math.isinf(risen):
        now += 0.125
        if at(now, int(now >= wished)):
            risen = now
    assert risen == rises


def test_one_switch_is_kept_for_the_way_down() -> None:
    steady = Hysteresis[int](0.0, 60.0, 3, 10.0)
    assert [steady.decide(0, 1, 0.0), steady.decide(1, 2, 1.0)] == [1, 2]
    assert steady.decide(2, 3, 2.0) is None
    assert steady.refused
    assert steady.decide(2, 0, 3.0) == 0
    assert not steady.refused
    assert steady.decide(1, 0, 4.0) is None
    assert steady.refused
