"""What the requests of a switcher are like: counts, latencies, what each variant costs here."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hdap.device.messages import DeviceError
from hdap.device.variant_files import Variant

FEW = 5
"""Requests below which a p95 says nothing."""


@dataclass(frozen=True)
class Cost:
    """Core milliseconds of an inference here; not `measured`: foretold from other variants."""

    ms: float
    measured: bool


@dataclass(frozen=True)
class RequestFigures:
    """Counts since the start; arrivals a second, and milliseconds of those that began lately."""

    requests: int
    failures: int
    running: int
    rate: float
    recent_ms: tuple[float, ...]

    def quantile_ms(self, share: float, few: int = 1) -> float | None:
        """Of the last requests; None where there are fewer than `few`."""
        return quantile(self.recent_ms, share) if len(self.recent_ms) >= few else None


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which this share of them lies."""
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)]


def relative_costs(variants: Sequence[Variant]) -> list[float]:
    """What variants cost relative to each other: as measured where all were, else their FLOPs."""
    measured = [variant.measured_here_ms for variant in variants]
    known = [ms for ms in measured if ms]
    return known if len(known) == len(measured) else [max(1.0, v.flops) for v in variants]


class RequestStatistics:
    """Counts requests that begin and end, from any thread; rates are over `window_s` seconds."""

    def __init__(self, variants: Sequence[Variant], window_s: float) -> None:
        self.window_s = window_s
        self._weights = relative_costs(variants)
        self._changed = threading.Condition()
        self._requests = self._failures = self._running = 0
        self._closed = False
        self._arrivals: deque[float] = deque(maxlen=20_000)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=4096)
        self._costs: dict[int, deque[float]] = {}

    def begin(self, now: float) -> None:
        """A request arrives; raises `DeviceError` once `close` was called."""
        with self._changed:
            if self._closed:
                raise DeviceError("the switcher must be open, but was closed; make another")
            self._requests += 1
            self._running += 1
            self._arrivals.append(now)

    def end(self, began: float, now: float, cost: tuple[int, float] | None) -> float:
        """It has its answer: variant and core milliseconds, None where it failed; its latency."""
        ms = 1e3 * (now - began)
        with self._changed:
            self._running -= 1
            if cost is None:
                self._failures += 1
            else:
                self._latencies.append((began, ms))
                self._costs.setdefault(cost[0], deque(maxlen=31)).append(cost[1])
            self._changed.notify_all()
        return ms

    def close(self) -> None:
        """Let no request begin, and wait until those that run have ended."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._running == 0)

    def warmed(self, place: int, ms: float) -> None:
        """What a variant took before any request ran on it."""
        with self._changed:
            self._costs.setdefault(place, deque([ms], maxlen=31))

    def costs(self) -> tuple[Cost, ...]:
        """Of each variant: its own, else by relative costs from the nearest that ran."""
        with self._changed:
            known = {place: statistics.median(values) for place, values in self._costs.items()}
        found = []
        for place, weight in enumerate(self._weights):
            near = min(known, key=lambda other: abs(other - place))
            found.append(Cost(known[near] * weight / self._weights[near], near == place))
        return tuple(found)

    def figures(self, now: float, since: float = 0.0) -> RequestFigures:
        """What requests were like in the last `window_s`, `recent_ms` not before `since`."""
        begin = now - self.window_s
        with self._changed:
            arrived = 0
            for at in reversed(self._arrivals):
                if at < begin:
                    break
                arrived += 1
            recent = sorted(ms for at, ms in self._latencies if at >= max(begin, since))
            return RequestFigures(
                self._requests,
                self._failures,
                self._running,
                arrived / self.window_s,
                tuple(recent),
            )
