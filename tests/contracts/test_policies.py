from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.device.messages import DeviceError
from hdap.device.policies.base import State
from hdap.device.policies.registry import read_policy
from hdap.fleet_data.plugins import Registry
from hdap.serving.registry import POLICIES

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
WRITTEN = {
    "fixed": "fixed:v1",
    "latency": "latency:30ms",
    "load": "load:0.7/8",
    "memory": "memory:150MB",
    "available": "available:500MB",
    "battery": "battery:20",
    "temperature": "temperature:80",
    "schedule": "schedule:8-20=v1,20-8=v3",
}
STATES = st.builds(
    State,
    names=st.just(QUIET.names),
    current=st.integers(0, 3),
    costs_ms=st.tuples(*(st.floats(0.1, 1e3),) * 4).map(lambda x: tuple(sorted(x))),
    memory_mb=st.tuples(*(st.floats(1.0, 1e4),) * 4).map(lambda x: tuple(sorted(x))),
    rate=st.floats(0.0, 1e4),
    queue=st.integers(0, 1000),
    p95_ms=st.none() | st.floats(0.1, 1e5),
    cores=st.integers(1, 64),
    available_mb=st.none() | st.floats(0.0, 1e5),
    battery_pct=st.none() | st.floats(0.0, 100.0),
    temperature_c=st.none() | st.floats(-40.0, 150.0),
    hour=st.floats(0.0, 24.0, exclude_max=True),
)


def test_every_policy_is_written_down_here() -> None:
    assert WRITTEN.keys() == POLICIES.keys()


@pytest.mark.parametrize("name", POLICIES)
@given(state=STATES)
def test_a_policy_always_names_a_variant_and_why(name: str, state: State) -> None:
    (policy,) = read_policy([WRITTEN[name]]).parts
    assert type(policy) is POLICIES[name]
    wish = policy.decide(state)
    assert 0 <= wish.variant < 4
    assert wish.reason
    assert "\n" not in wish.reason
    assert wish == policy.decide(state)


@pytest.mark.parametrize("name", POLICIES)
@given(state=STATES)
def test_room_to_rise_is_room_to_stay(name: str, state: State) -> None:
    """What is allowed from below is still allowed once it runs: no switch undoes itself."""
    (policy,) = read_policy([WRITTEN[name]]).parts
    wish = policy.decide(state)
    if name not in ("latency", "load") and wish.met and wish.variant > state.current:
        own = replace(state, current=wish.variant, available_mb=_left(state, wish.variant))
        assert policy.decide(own).variant >= wish.variant


def _left(state: State, place: int) -> float | None:
    if state.available_mb is None:
        return None
    return state.available_mb - (state.memory_mb[place] - state.memory_mb[state.current])


@given(state=STATES, chosen=st.lists(st.sampled_from(sorted(WRITTEN.values())), min_size=1))
def test_of_several_the_most_restrictive_counts(state: State, chosen: list[str]) -> None:
    together = read_policy(chosen)
    wishes = [part.decide(state) for part in together.parts]
    found = together.decide(state)
    assert found.variant == min(wish.variant for wish in wishes)
    assert found.met == all(wish.met for wish in wishes)
    assert found.reason in {w.reason for w in wishes if w.variant == found.variant}


@given(st.text(max_size=30))
def test_any_text_is_a_policy_or_a_problem(text: str) -> None:
    for name in ("", *POLICIES):
        with suppress(DeviceError):
            read_policy([f"{name}:{text}" if name else text]).decide(QUIET)


@pytest.mark.parametrize("name", [n for n in POLICIES if n != "fixed"])  # takes any name
def test_what_is_not_a_policy_is_one_line_with_its_form(name: str) -> None:
    with pytest.raises(DeviceError, match=f"policy `{name}` must be {name}:") as raised:
        read_policy([f"{name}:,"])
    assert POLICIES[name].form in str(raised.value)
    assert "\n" not in str(raised.value)


def test_policies_of_other_packages_count_where_hdap_serves() -> None:
    assert isinstance(POLICIES, Registry)
    assert POLICIES.point == "policies"
