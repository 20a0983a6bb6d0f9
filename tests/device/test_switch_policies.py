"""The switcher under a policy: what it chooses, how often, and what it says of failures."""

import threading
import time
from pathlib import Path

import pytest

from hdap.device.messages import DeviceError
from hdap.device.policies.base import Decision, Policy, State
from hdap.device.policies.named_variants import Fixed
from hdap.device.policies.request_limits import LatencyTarget
from hdap.device.switcher import Switcher, SwitchSettings
from tests.device.switcher_clients import until

QUICK = SwitchSettings(dwell_s=0.05, period_s=0.02, window_s=0.5, retry_s=0.2)


def test_a_policy_chooses_and_says_why(portfolio_bundle: Path) -> None:
    class Wanted(Policy):
        place = 0

        @classmethod
        def read(cls, text: str) -> "Wanted":
            return cls()

        def decide(self, state: State) -> Decision:
            return Decision(self.place, f"it is {self.place}")

    policy, lines = Wanted(), list[str]()
    with Switcher(
        str(portfolio_bundle), policy=policy, settings=QUICK, log=lines.append
    ) as switcher:
        assert switcher.current == "v0"
        policy.place = 2
        assert until(lambda: switcher.current == "v2")
        policy.place = 1
        assert until(lambda: switcher.current == "v1")
        assert any("to v2 (from v0" in x and "it is 2" in x for x in lines)
        assert any("to v1 (from v2" in x and "it is 1" in x for x in lines)
        switcher.switch("v2")
        assert until(lambda: switcher.current == "v2")
        time.sleep(5 * QUICK.period_s)
        assert switcher.current == "v2"
        assert switcher.stats().held
        switcher.follow()
        assert until(lambda: switcher.current == "v1")


def test_switches_are_bounded_and_the_log_says_so(portfolio_bundle: Path) -> None:
    class Restless(Policy):
        plan = (1, 2, 1, 0)
        at = 0

        @classmethod
        def read(cls, text: str) -> "Restless":
            return cls()

        def decide(self, state: State) -> Decision:
            self.at += state.current == self.plan[self.at]
            return Decision(self.plan[self.at], "never content")

    lines: list[str] = []
    settings = SwitchSettings(dwell_s=0.0, most_switches=3, within_s=1e3, period_s=0.01)
    with Switcher(
        str(portfolio_bundle), start="v2", policy=Restless(), settings=settings, log=lines.append
    ) as switcher:
        assert until(lambda: "are enough" in lines[-1])
        time.sleep(0.1)
        assert (switcher.current, switcher.stats().switches) == ("v1", 3)
    assert "stay with v1: 3 switches in 1000 s are enough; never content" in lines[-1]


def test_what_is_no_longer_wanted_when_it_is_ready_does_not_serve(
    portfolio_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wanted(Policy):
        place = 0

        @classmethod
        def read(cls, text: str) -> "Wanted":
            return cls()

        def decide(self, state: State) -> Decision:
            return Decision(self.place, "wanted")

    policy, lines = Wanted(), list[str]()
    opening, go = threading.Event(), threading.Event()
    with Switcher(
        str(portfolio_bundle), policy=policy, settings=QUICK, log=lines.append
    ) as switcher:
        usual = switcher.sessions.open

        def slowly(place: int) -> object:
            opening.set()
            assert go.wait(30)
            return usual(place)

        monkeypatch.setattr(switcher.sessions, "open", slowly)
        policy.place = 2
        assert opening.wait(30)
        policy.place = 0
        go.set()
        assert until(lambda: "v2 is ready, but no longer wanted" in lines[-1])
        assert switcher.current == "v0"
        assert switcher.stats().switches == 0


def test_a_policy_whose_variant_is_damaged_gets_the_next_that_is_not(
    portfolio_bundle: Path,
) -> None:
    (portfolio_bundle / "v2.onnx").write_bytes(b"")
    lines: list[str] = []
    with Switcher(
        str(portfolio_bundle), policy=Fixed("v2"), settings=QUICK, log=lines.append
    ) as switcher:
        assert until(lambda: switcher.current == "v1")
        assert until(lambda: any("v0 keeps serving" in x for x in lines))


def test_with_a_policy_the_fastest_that_is_as_built_starts(portfolio_bundle: Path) -> None:
    (portfolio_bundle / "v0.onnx").unlink()
    with Switcher(str(portfolio_bundle), policy=Fixed("v1"), settings=QUICK) as switcher:
        assert switcher.current == "v1"
    with pytest.raises(DeviceError, match=r"v0\.onnx must be readable"):
        Switcher(str(portfolio_bundle), start="v0", policy=Fixed("v1"))


def test_a_policy_that_fails_is_told_and_stops_nothing(portfolio_bundle: Path) -> None:
    class Broken(Policy):
        asked = 0

        @classmethod
        def read(cls, text: str) -> "Broken":
            return cls()

        def decide(self, state: State) -> Decision:
            self.asked += 1
            if self.asked == 2:
                raise RuntimeError("no idea\nat all")
            if self.asked == 3:
                return None  # type: ignore[return-value]  # as a policy of one's own may
            return Decision(min(self.asked, 2), "asked")

    lines: list[str] = []
    with Switcher(
        str(portfolio_bundle), policy=Broken(), settings=QUICK, log=lines.append
    ) as switcher:
        assert until(lambda: switcher.current == "v2")
    assert any("the policy failed, no idea" in x and "\n" not in x for x in lines)
    assert any("the policy failed, 'NoneType'" in x for x in lines)


def test_a_policy_that_nothing_satisfies_is_one_line_at_the_start(portfolio_bundle: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"some variant must satisfy the policy.*nearest is v0 at"
    ):
        Switcher(str(portfolio_bundle), policy=LatencyTarget(1e-6))
    with pytest.raises(DeviceError, match="a variant must be one of v0, v1, v2, but got 'v9'"):
        Switcher(str(portfolio_bundle), policy=Fixed("v9"))
