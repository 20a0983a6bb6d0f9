"""Which variant of a portfolio should run: policies, and when a wish becomes a switch.

Python 3.9 and the standard library: part of the one file that travels (`hdap.device.switcher`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hdap.device.controller import DeviceError


@dataclass(frozen=True)
class State:
    """What a policy decides by. Tuples have one entry a variant, fastest first.

    `costs_ms` are core milliseconds of an inference and `memory_mb` what the process would hold,
    both measured where the variant has run, else foretold from those that have. `rate` are arrivals
    a second, `queue` requests that wait for a free worker; `p95_ms` (with waiting) is of requests
    that began since the last switch, None where they are few. `hour` is local, 0-24. None: the
    device does not tell.
    """

    names: tuple[str, ...]
    current: int
    costs_ms: tuple[float, ...]
    memory_mb: tuple[float, ...] = ()
    rate: float = 0.0
    queue: int = 0
    p95_ms: float | None = None
    cores: int = 1
    available_mb: float | None = None
    battery_pct: float | None = None
    temperature_c: float | None = None
    hour: float = 0.0


@dataclass(frozen=True)
class Decision:
    """The most accurate variant that is allowed, and why; not `met`: none is, it is nearest."""

    variant: int
    reason: str
    met: bool = True


class Policy(ABC):
    """From a state to the most accurate variant that is allowed, with the reason.

    Stateless: the same state gives the same wish, from any thread. A variant that is more accurate
    than the current one is allowed only with `MARGIN` to spare, so that noise at a limit makes no
    switch.
    """

    form: str
    """How it is written after its name, for messages."""

    @classmethod
    @abstractmethod
    def read(cls, text: str) -> Policy:
        """From what follows the colon; raises ValueError where that is something else."""

    @abstractmethod
    def wish(self, state: State) -> Decision:
        """The most accurate variant that is allowed in this state."""


MARGIN = 0.1


def _most(state: State, excess: Sequence[float], words: Callable[[int], str]) -> Decision:
    """The last variant whose `excess`, over its limit, is at most 1; `words` says what it takes."""
    allowed = [i for i, x in enumerate(excess) if x * (1.0 + MARGIN * (i > state.current)) <= 1.0]
    if not allowed:
        near = min(range(len(excess)), key=lambda i: excess[i])
        return Decision(near, f"no variant is within, the nearest is {words(near)}", met=False)
    best = max(allowed)
    if best == len(excess) - 1:
        return Decision(best, words(best))
    how = "beyond" if excess[best + 1] > 1.0 else "too near"
    return Decision(best, f"{words(best + 1)} ({how} the limit)")


@dataclass(frozen=True)
class Fixed(Policy):
    """One variant, whatever happens."""

    name: str
    form = "NAME of a variant"

    @classmethod
    def read(cls, text: str) -> Fixed:
        return cls(text)

    def wish(self, state: State) -> Decision:
        return Decision(_known(state, self.name), "fixed")


@dataclass(frozen=True)
class LatencyTarget(Policy):
    """95 % of requests within `ms`, waiting included.

    What another variant would take is foretold from what the current one takes now, by their costs.
    """

    ms: float
    form = "TIME, as 30ms"

    @classmethod
    def read(cls, text: str) -> LatencyTarget:
        return cls(_amount(text, {"ms": 1.0, "s": 1e3, "": 1.0}))

    def wish(self, state: State) -> Decision:
        own = state.costs_ms[state.current]
        seen = own if state.p95_ms is None else state.p95_ms
        foretold = [seen * cost / own for cost in state.costs_ms]

        def words(i: int) -> str:
            return f"{state.names[i]} at {foretold[i]:.3g} ms p95 of {self.ms:g} ms"

        return _most(state, [x / self.ms for x in foretold], words)


@dataclass(frozen=True)
class Load(Policy):
    """At most this share of the cores busy with requests, and at most `queue` waiting."""

    share: float = 0.7
    queue: int = 8
    form = "SHARE of the cores, as 0.7, or SHARE/QUEUE, as 0.7/8"

    @classmethod
    def read(cls, text: str) -> Load:
        share, _, queue = text.partition("/")
        return cls(_amount(share, {"": 1.0, "%": 0.01}), int(_amount(queue or "8", {"": 1.0})))

    def wish(self, state: State) -> Decision:
        own = state.costs_ms[state.current]
        busy = [state.rate * cost / 1e3 / state.cores for cost in state.costs_ms]
        # as long as requests wait, only a faster variant helps
        waiting = [state.queue / self.queue * cost / own for cost in state.costs_ms]
        if state.queue <= self.queue:
            waiting = [0.0] * len(busy)

        def words(i: int) -> str:
            return (
                f"{state.names[i]} at {state.rate:.3g} requests/s takes {100 * busy[i]:.0f} % of "
                f"{state.cores} cores, {state.queue} waiting"
            )

        excess = [max(b / self.share, w) for b, w in zip(busy, waiting)]  # noqa: B905
        return _most(state, excess, words)


@dataclass(frozen=True)
class MemoryLimit(Policy):
    """At most so many MiB resident in this process."""

    mb: float
    form = "SIZE, as 300MB"

    @classmethod
    def read(cls, text: str) -> MemoryLimit:
        return cls(_amount(text, {"MB": 1.0, "GB": 1024.0, "": 1.0}))

    def wish(self, state: State) -> Decision:
        def words(i: int) -> str:
            return f"{state.names[i]} at {state.memory_mb[i]:.0f} MB of {self.mb:g} MB"

        return _most(state, [x / self.mb for x in state.memory_mb], words)


@dataclass(frozen=True)
class MemoryLeft(Policy):
    """At least so many MiB available on the device."""

    mb: float
    form = "SIZE, as 500MB"

    @classmethod
    def read(cls, text: str) -> MemoryLeft:
        return cls(_amount(text, {"MB": 1.0, "GB": 1024.0, "": 1.0}))

    def wish(self, state: State) -> Decision:
        available = state.available_mb
        if available is None:
            return _unknown(state, "available memory")
        own = state.memory_mb[state.current]
        left = [max(available - (x - own), 1e-9) for x in state.memory_mb]

        def words(i: int) -> str:
            return f"{state.names[i]} leaves {left[i]:.0f} MB available, {self.mb:g} MB wanted"

        return _most(state, [self.mb / x for x in left], words)


@dataclass(frozen=True)
class Battery(Policy):
    """The fastest variant below a charge of `pct`."""

    pct: float
    form = "PERCENT, as 20"

    @classmethod
    def read(cls, text: str) -> Battery:
        return cls(_amount(text, {"": 1.0, "%": 1.0}))

    def wish(self, state: State) -> Decision:
        charge = state.battery_pct
        if charge is None:
            return _unknown(state, "charge")
        excess = [0.0] + [self.pct / max(charge, 1e-9)] * (len(state.names) - 1)
        return _most(state, excess, lambda i: f"{state.names[i]} at a charge of {charge:.0f} %")


@dataclass(frozen=True)
class Heat(Policy):
    """The fastest variant above `celsius`."""

    celsius: float
    form = "DEGREES, as 80"

    @classmethod
    def read(cls, text: str) -> Heat:
        return cls(_amount(text, {"": 1.0, "C": 1.0}))

    def wish(self, state: State) -> Decision:
        heat = state.temperature_c
        if heat is None:
            return _unknown(state, "temperature")
        excess = [0.0] + [heat / self.celsius] * (len(state.names) - 1)
        return _most(state, excess, lambda i: f"{state.names[i]} at {heat:.0f} degrees")


@dataclass(frozen=True)
class ScheduledVariant(Policy):
    """At most the variant of the hours that it is; spans are (from, to, name), local time."""

    spans: tuple[tuple[float, float, str], ...]
    form = "FROM-TO=NAME,..., as 8-20=v1,20-8=v3"

    @classmethod
    def read(cls, text: str) -> ScheduledVariant:
        spans = []
        for part in text.split(","):
            hours, name = part.split("=")
            start, end = (_hour(x) for x in hours.split("-"))
            spans.append((start, end, name))
        return cls(tuple(spans))

    def wish(self, state: State) -> Decision:
        places = [_known(state, name) for _, _, name in self.spans]
        for (start, end, _), place in zip(self.spans, places):  # noqa: B905
            inside = start <= state.hour < end
            if inside or (start >= end and (state.hour >= start or state.hour < end)):
                return Decision(place, f"schedule from {start:g} to {end:g} o'clock")
        return Decision(len(state.names) - 1, "schedule: nothing at this hour")


@dataclass(frozen=True)
class AllOf(Policy):
    """What all of several allow."""

    parts: tuple[Policy, ...]
    form = "one or more"

    @classmethod
    def read(cls, text: str) -> AllOf:
        return read_policy(text.split(";"))

    def wish(self, state: State) -> Decision:
        wishes = [part.wish(state) for part in self.parts]
        least = min(wishes, key=lambda wish: (wish.variant, wish.met))
        return Decision(least.variant, least.reason, all(wish.met for wish in wishes))


POLICIES: dict[str, type[Policy]] = {
    "fixed": Fixed,
    "latency": LatencyTarget,
    "load": Load,
    "memory": MemoryLimit,
    "available": MemoryLeft,
    "battery": Battery,
    "temperature": Heat,
    "schedule": ScheduledVariant,
}


def read_policy(texts: Sequence[str]) -> AllOf:
    """Policies as `name:value`, all of which hold; raises `DeviceError`."""
    parts = []
    for text in texts:
        name, _, value = text.partition(":")
        if name not in POLICIES:
            known = ", ".join(POLICIES)
            raise DeviceError(f"a policy is one of {known}, but got {text!r}; write latency:30ms")
        try:
            parts.append(POLICIES[name].read(value))
        except ValueError:
            raise DeviceError(
                f"policy `{name}` must be {name}:{POLICIES[name].form}, but got {text!r}"
            ) from None
    return AllOf(tuple(parts))


def require_possible(policy: Policy, state: State) -> None:
    """Raises `DeviceError` where no variant satisfies the policy even while nothing is asked."""
    wish = policy.wish(state)
    if not wish.met:
        raise DeviceError(
            f"some variant must satisfy the policy, but {wish.reason}; "
            "relax it, or build a variant that does"
        )


def _known(state: State, name: str) -> int:
    if name not in state.names:
        raise DeviceError(f"a policy must name one of {', '.join(state.names)}, but names {name!r}")
    return state.names.index(name)


def _unknown(state: State, what: str) -> Decision:
    return Decision(len(state.names) - 1, f"the device does not tell its {what}")


def _amount(text: str, units: Mapping[str, float]) -> float:
    number = text.strip()
    unit = number.lstrip("0123456789.").strip()
    value = float(number[: len(number) - len(unit)] if unit else number) * units.get(unit, math.nan)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(text)
    return value


def _hour(text: str) -> float:
    hours, _, minutes = text.partition(":")
    value = int(hours) + int(minutes or "0") / 60
    if not 0 <= value <= 24:
        raise ValueError(text)
    return value


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


class Hysteresis:
    """Which wishes become switches; see `SwitchSettings`. One place of those allowed is kept for down."""

    def __init__(self, settings: SwitchSettings) -> None:
        self.settings = settings
        self._dwell = settings.dwell_s
        self._switched: deque[float] = deque(maxlen=settings.most_switches)
        self._since: float | None = None
        self._least = 0
        self._risen_at = self._mistaken_at = -math.inf

    def decide(self, current: int, wanted: int, now: float) -> int | None:
        """The variant to switch to now (seconds of one clock that never goes back), if any."""
        recent = sum(now - at <= self.settings.within_s for at in self._switched)
        if wanted <= current:
            self._since = None
            if wanted == current or recent >= self.settings.most_switches:
                return None
            if now - self._risen_at <= 2.0 * self._dwell:
                self._dwell = min(2.0 * self._dwell, self.settings.longest_dwell_s)
                self._mistaken_at = now
            # one rise is one mistake, however many steps lead back
            self._risen_at = -math.inf
            return self._go(wanted, now)
        if now - self._mistaken_at > 10.0 * self._dwell:
            self._dwell = self.settings.dwell_s
        if self._since is None:
            self._since, self._least = now, wanted
        # to what was allowed all the time
        self._least = min(self._least, wanted)
        if now - self._since < self._dwell or recent >= self.settings.most_switches - 1:
            return None
        self._risen_at, self._since = now, None
        return self._go(self._least, now)

    def _go(self, wanted: int, now: float) -> int:
        self._switched.append(now)
        return wanted
