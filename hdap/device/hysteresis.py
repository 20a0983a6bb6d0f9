"""When a wish for something else becomes a switch; used by the controller and by the switcher."""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, TypeVar

Rank = TypeVar("Rank", bound=float)


class Hysteresis(Generic[Rank]):
    """Down at once, up after a dwell, and never more than `most_switches` within `within_s` (s).

    What is better must be wished for `dwell_s` without a break, and the switch goes to the least
    that was wished in that time. One that is taken back within twice the dwell was a mistake: it
    doubles the dwell, up to `longest_dwell_s`. A doubled dwell is forgotten after twice its length
    without a mistake. Of the switches one is kept for the way down.

    `now` is seconds of one clock that never goes back; a rank is higher for what is better.
    """

    def __init__(
        self, dwell_s: float, longest_dwell_s: float, most_switches: int, within_s: float
    ) -> None:
        self.dwell_s, self.longest_dwell_s, self.within_s = dwell_s, longest_dwell_s, within_s
        self.most_switches = max(1, most_switches)
        self._dwell = dwell_s
        self._switched: deque[float] = deque(maxlen=self.most_switches)
        self._wished: tuple[float, Rank] | None = None
        self._risen_at = self._mistaken_at = -math.inf
        self.refused = False
        """Whether the last wish would have been a switch but for their number."""

    def used(self, now: float) -> int:
        """Switches that count against the limit now."""
        return sum(now - at <= self.within_s for at in self._switched)

    def waited(self, now: float) -> float:
        """Seconds for which something better has been wished."""
        return 0.0 if self._wished is None else now - self._wished[0]

    def stay(self, now: float) -> None:
        """What runs is what is wished."""
        self._wished, self.refused = None, False
        if now - self._mistaken_at > 2.0 * self._dwell:
            self._dwell = self.dwell_s

    def down(self, now: float) -> bool:
        """What runs must not: whether a switch may happen now, which then counts as done."""
        self.stay(now)
        self.refused = self.used(now) >= self.most_switches
        if self.refused:
            return False
        if now - self._risen_at <= 2.0 * self._dwell:
            self._dwell = min(2.0 * self._dwell, self.longest_dwell_s)
            self._mistaken_at = now
        # one rise is one mistake, however many steps lead back
        self._risen_at = -math.inf
        self._switched.append(now)
        return True

    def up(self, wanted: Rank, now: float) -> Rank | None:
        """Something better is wished: what may be switched to now, which then counts as done."""
        since, least = self._wished or (now, wanted)
        self.stay(now)
        least = min(least, wanted)
        self._wished = (since, least)
        if now - since < self._dwell:
            return None
        self.refused = self.used(now) >= max(1, self.most_switches - 1)
        if self.refused:
            return None
        self._risen_at, self._wished = now, None
        self._switched.append(now)
        return least

    def decide(self, current: Rank, wanted: Rank, now: float) -> Rank | None:
        """What to switch to now, if anything."""
        if wanted > current:
            return self.up(wanted, now)
        if wanted < current:
            return wanted if self.down(now) else None
        self.stay(now)
        return None
