"""Wishes over a time that the test moves: by themselves, and of the two that use them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hdap.device.hysteresis import Hysteresis

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
