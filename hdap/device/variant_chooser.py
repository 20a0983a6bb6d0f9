"""What a policy wants, held back until it is steady."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from operator import index

from hdap.device.hysteresis import Hysteresis
from hdap.device.messages import DecisionLog, DeviceError, first_line
from hdap.device.policies.base import Policy, State


@dataclass(frozen=True)
class SwitchSettings:
    """A more accurate variant must be allowed for `dwell_s` without a break, longer after mistakes.

    At most `most_switches` happen within any `within_s`. The policy is asked every `period_s`; rate
    and p95 are over `window_s`. A variant that could not be opened is tried again after `retry_s`.
    """

    dwell_s: float = 5.0
    longest_dwell_s: float = 300.0
    most_switches: int = 6
    within_s: float = 60.0
    period_s: float = 0.25
    window_s: float = 2.0
    retry_s: float = 60.0

    def __post_init__(self) -> None:
        if self.most_switches < 2 or not all(
            x > 0 for x in (self.longest_dwell_s, self.within_s, self.period_s, self.window_s)
        ):
            raise DeviceError(
                f"settings must be positive and allow two switches or more, got {self}"
            )


class VariantChooser:
    """Asks a policy and says which switch to make now; used by one thread.

    A variant that could not be opened is left out until `retry_s` have passed; the one below it is
    taken instead.
    """

    def __init__(self, policy: Policy, settings: SwitchSettings, log: DecisionLog) -> None:
        self._policy, self.settings, self._log = policy, settings, log
        self._broken: dict[int, float] = {}
        self._steady: Hysteresis[int] = Hysteresis(
            settings.dwell_s, settings.longest_dwell_s, settings.most_switches, settings.within_s
        )

    def broke(self, place: int, now: float) -> None:
        """A variant could not be opened."""
        self._broken[place] = now

    def works(self, place: int) -> None:
        """It could be opened."""
        self._broken.pop(place, None)

    def choose(self, state: State, now: float) -> tuple[int, str] | None:
        """The variant to switch to now, and why; `now` is in seconds."""
        here = state.names[state.current]
        try:
            decision = self._policy.decide(state)
            allowed, met, reason = index(decision.variant), decision.met, decision.reason
        except Exception as error:  # a user's own policy may raise anything, or give it
            self._log.tell(f"stay with {here}: the policy failed, {first_line(error)}")
            return None
        broken = {i for i, at in self._broken.items() if now - at < self.settings.retry_s}
        usable = [i for i in range(len(state.names)) if i not in broken] or [state.current]
        wanted = max((i for i in usable if i <= allowed), default=min(usable))
        if not met:
            self._log.tell(reason)
        chosen = self._steady.decide(state.current, wanted, now)
        if chosen is None:
            if wanted < state.current:
                self._log.tell(
                    f"stay with {here}: {self.settings.most_switches} switches in "
                    f"{self.settings.within_s:g} s are enough; {reason}"
                )
            return None
        before = chosen not in (allowed, wanted)
        return chosen, reason + f"; {state.names[chosen]} was allowed all along" * before

    def still_wants(self, place: int, state: State) -> bool:
        """Whether the policy allows a variant that is ready by now; one that fails has no say."""
        with contextlib.suppress(Exception):
            return self._policy.decide(state).variant >= place
        return True
