#!/usr/bin/env python3
"""Serve one variant of a portfolio with ONNX Runtime and swap it for another while it serves.

Runs on the device: Python 3.9 or later with onnxruntime and numpy; `hdap portfolio build` puts this
one file into the bundle. In an application:

    with Switcher("bundle", policy=read_policy(["latency:30ms", "memory:300MB"]), log=print) as net:
        output = net.run(image)[0]              # from any number of threads
        net.switch("v1")                        # or by hand: returns at once

A background thread opens and warms the next variant; requests run on the old one until the moment
it is replaced, so none fails and none waits. The old session is released when its last request has
ended: there are never more than two. Files are checked against the manifest's SHA-256 before they
are opened, and each variant is put in this machine's order once (see `hdap.device.level_sessions`), so
that its weights stay in a mapped file that the system may take back.

A policy says from what the device and the requests are like now which variant it allows at most;
of several the most restrictive counts. A faster variant follows at once, a more accurate one only
when it was allowed without a break for some time, longer after a mistake, and switches within any
minute are bounded.

    python3 switcher.py .               each variant: size, ms and memory on this machine
    python3 switcher.py . --check       only whether every file is as it was built
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hdap.device.controller import DeviceError
from hdap.device.measuring import battery_pct, mem_available_mb, read_text, temperature_c
from hdap.device.policies import (
    POLICIES,
    Hysteresis,
    Policy,
    State,
    SwitchSettings,
    read_policy,
    require_possible,
)
from hdap.device.variant_files import Opener, Portfolio, Variant, first_line, read_portfolio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = [
    "POLICIES",
    "DeviceError",
    "Policy",
    "Stats",
    "SwitchSettings",
    "Switcher",
    "read_policy",
]

START_RUNS = 5
"""Inferences at the start: the first is slower, and policies are asked by the cost of one."""
LESS_URGENT = 10
"""What is added to the nice value of the thread that opens a more costly variant."""
MIB = 2.0**20


class Slots:
    """So many workers, given to those who wait in the order in which they came."""

    def __init__(self, workers: int) -> None:
        self._lock = threading.Lock()
        self._free = workers
        self._queue: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def __enter__(self) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._queue.append(gate)
        try:
            gate.acquire()
        except BaseException:  # Ctrl-C while it waited: what it was given goes to the next
            with self._lock:
                given = gate not in self._queue
                if not given:
                    self._queue.remove(gate)
            if given:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1


@dataclass
class _Opened:
    """A session with how many requests run on it."""

    place: int
    session: Any
    users: int = 0


@dataclass(frozen=True)
class InferenceAnswer:
    """Outputs of one request, which variant gave them, and milliseconds with waiting."""

    outputs: Sequence[Image]
    variant: str
    ms: float


@dataclass(frozen=True)
class Cost:
    """Core milliseconds of an inference here; not `measured`: foretold from other variants."""

    ms: float
    measured: bool


@dataclass(frozen=True)
class Event:
    """A switch, or one that was refused (`ms` None): seconds since the start, and why."""

    at_s: float
    variant: str
    reason: str
    ms: float | None


@dataclass(frozen=True)
class Stats:
    """Counts since the start; p50 and p95 (ms, with waiting), rate and queue of the last seconds.

    `last_switch_ms` is what the background took from the wish until the new variant served.
    """

    current: str
    switching_to: str | None
    held: bool
    requests: int
    failures: int
    switches: int
    refused: int
    last_switch_ms: float | None
    running: int
    queue: int
    rate: float
    p50_ms: float | None
    p95_ms: float | None
    rss_mb: float | None
    uptime_s: float
    events: tuple[Event, ...]


@dataclass
class _Seen:
    """What requests were like: (arrival, milliseconds) of the last ones, costs by variant."""

    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=20_000))
    latencies: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=4096))
    costs: dict[int, deque[float]] = field(default_factory=dict)
    memory: dict[int, float] = field(default_factory=dict)

    def rate(self, now: float, window: float) -> float:
        """Arrivals a second."""
        count = 0
        for at in reversed(self.arrivals):
            if at < now - window:
                break
            count += 1
        return count / window

    def recent(self, since: float) -> list[float]:
        """Milliseconds of requests that began since then, ascending."""
        return sorted(ms for at, ms in self.latencies if at >= since)

    def cost(self, place: int, weights: Sequence[float]) -> Cost:
        """Of a variant: its own, else by `weights` from the nearest that ran."""
        near = min(self.costs, key=lambda other: abs(other - place))
        ms = statistics.median(self.costs[near]) * weights[place] / weights[near]
        return Cost(ms, near == place)


class Switcher:
    """One variant of a bundle at a time behind `run`; see the text at the top of this file.

    Without a policy the most accurate variant runs until `switch` says otherwise. `threads` work on
    one inference, `workers` inferences run at once (default: as many as there are cores for), more
    wait in order. Raises `DeviceError` where nothing can be served, and where no variant satisfies the
    policy.
    """

    def __init__(
        self,
        folder: str,
        start: str | None = None,
        policy: Policy | None = None,
        threads: int = 1,
        workers: int | None = None,
        cache: str | None = None,
        settings: SwitchSettings | None = None,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.portfolio = read_portfolio(folder)
        self.settings, self.threads, self._log = settings or SwitchSettings(), threads, log
        self.cores = usable_cores()
        self.workers = workers or max(1, self.cores // threads)
        self._opener = Opener(self.portfolio, threads, cache, log)
        self._began = time.monotonic()
        self._slots = Slots(self.workers)
        self._seen = _Seen()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._requests = self._failures = self._switches = self._refused = self._running = 0
        self._events: deque[Event] = deque(maxlen=100)
        self._wish: tuple[int, str] | None = None
        self._doing: int | None = None
        self._held = self._closed = False
        self._broken: dict[int, float] = {}
        self._told = ""
        self._policy, self._steady = policy, Hysteresis(self.settings)
        self._prepare()
        places = range(len(self.portfolio.variants))
        first = [self.portfolio.index(start)] if start else places if policy else places[-1:]
        self._current = self._first(first)
        self._since = time.monotonic()
        if policy is not None:
            require_possible(policy, self.state())
        self._tell(f"start with {self.current}")
        self._thread = threading.Thread(target=self._work, name="switcher", daemon=True)
        self._thread.start()

    # what an application calls

    def run(self, image: NDArray[Any]) -> Sequence[Image]:
        """Outputs for one image, `C x H x W` or `1 x C x H x W`; raises `DeviceError` for another."""
        return self.answer(image).outputs

    def answer(self, image: NDArray[Any]) -> InferenceAnswer:
        """As `run`, with the variant that answered and the time it took."""
        began = time.monotonic()
        with self._lock:
            if self._closed:
                raise DeviceError("the switcher must be open, but was closed; make another")
            self._requests += 1
            self._running += 1
            self._seen.arrivals.append(began)
        failed = True
        try:
            feed = {self.portfolio.input: self._checked(image)}
            with self._slots:
                opened, cost, outputs = self._inference(feed)
            failed = False
        finally:
            ms = 1e3 * (time.monotonic() - began)
            with self._wake:
                self._running -= 1
                self._failures += failed
                if not failed:
                    self._seen.latencies.append((began, ms))
                    self._seen.costs.setdefault(opened.place, deque(maxlen=31)).append(cost)
                if self._closed:
                    self._wake.notify_all()
        return InferenceAnswer(outputs, self.portfolio.variants[opened.place].name, ms)

    def switch(self, name: str, reason: str = "asked for") -> None:
        """Ask for a variant and hold it against the policy; returns at once.

        A wish that waits for the switch under way is replaced. Raises `DeviceError` for another name.
        """
        place = self.portfolio.index(name)
        with self._wake:
            self._held = True
            self._wish = (place, reason)
            self._wake.notify_all()

    def follow(self) -> None:
        """Give the choice back to the policy."""
        with self._wake:
            self._held = False

    def wait(self, timeout: float | None = None) -> bool:
        """Until no switch is under way or asked for and the old session is gone; False: not yet."""
        with self._wake:
            return self._wake.wait_for(lambda: self._wish is None and self._doing is None, timeout)

    @property
    def current(self) -> str:
        """The variant that a request would run on now."""
        return self.portfolio.variants[self._current.place].name

    def state(self) -> State:
        """What the policy is asked about now."""
        now, clock = time.monotonic(), time.localtime()
        with self._lock:
            place, since = self._current.place, max(self._since, now - self.settings.window_s)
            recent, rate = self._seen.recent(since), self._seen.rate(now, self.settings.window_s)
            memory = dict(self._seen.memory)
        variants = self.portfolio.variants
        rss = resident_mb() or variants[place].bytes / MIB
        memory[place] = rss
        return State(
            names=tuple(variant.name for variant in variants),
            current=place,
            costs_ms=tuple(cost.ms for cost in self.costs()),
            memory_mb=tuple(
                memory.get(i, rss + (variant.bytes - variants[place].bytes) / MIB)
                for i, variant in enumerate(variants)
            ),
            rate=rate,
            queue=self._slots.waiting,
            p95_ms=_quantile(recent, 0.95) if len(recent) >= 5 else None,
            cores=self.cores,
            available_mb=mem_available_mb(),
            battery_pct=battery_pct(),
            temperature_c=temperature_c(),
            hour=clock.tm_hour + clock.tm_min / 60,
        )

    def costs(self) -> tuple[Cost, ...]:
        """What each variant takes here."""
        weights = _weights(self.portfolio.variants)
        with self._lock:
            return tuple(self._seen.cost(i, weights) for i in range(len(weights)))

    def stats(self) -> Stats:
        """Counts and what requests were like lately."""
        now = time.monotonic()
        with self._lock:
            recent = self._seen.recent(now - self.settings.window_s)
            rate = self._seen.rate(now, self.settings.window_s)
            doing = self._doing if self._wish is None else self._wish[0]
            switched = [event.ms for event in self._events if event.ms is not None]
            return Stats(
                current=self.current,
                switching_to=None if doing is None else self.portfolio.variants[doing].name,
                held=self._held,
                requests=self._requests,
                failures=self._failures,
                switches=self._switches,
                refused=self._refused,
                last_switch_ms=switched[-1] if switched else None,
                running=self._running,
                queue=self._slots.waiting,
                rate=rate,
                p50_ms=_quantile(recent, 0.5) if recent else None,
                p95_ms=_quantile(recent, 0.95) if recent else None,
                rss_mb=resident_mb(),
                uptime_s=now - self._began,
                events=tuple(self._events),
            )

    def close(self) -> None:
        """Take no more requests, let those that run end, release everything."""
        with self._wake:
            self._closed, self._wish = True, None
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._running == 0)
        self._thread.join()
        self._current.session = None
        give_back()

    def __enter__(self) -> Switcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # requests

    def _checked(self, image: NDArray[Any]) -> Image:
        array = np.asarray(image)
        shape = self.portfolio.shape
        if array.shape == shape:
            array = array[None]
        if array.shape != (1, *shape) or array.dtype.kind not in "fiu":
            raise DeviceError(
                f"an input must be numbers of shape {list(shape)}, but has shape "
                f"{list(array.shape)} of {array.dtype}; give one image, not a batch"
            )
        return np.ascontiguousarray(array, dtype=np.float32)

    def _inference(self, feed: dict[str, Image]) -> tuple[_Opened, float, Sequence[Image]]:
        """The session that ran, core milliseconds it took, outputs."""
        with self._lock:
            opened = self._current
            opened.users += 1
        try:
            return opened, *self._timed(opened.session, feed)
        finally:
            with self._wake:
                opened.users -= 1
                if opened is not self._current and not opened.users:
                    self._wake.notify_all()

    def _timed(self, session: Any, feed: dict[str, Image]) -> tuple[float, Sequence[Image]]:
        """Core milliseconds and outputs of an inference."""
        # with one thread its processor time tells the cost, whatever else runs
        clock = time.thread_time if self.threads == 1 else time.perf_counter
        started = clock()
        outputs = session.run(None, feed)
        return max(1e3 * self.threads * (clock() - started), 1e-3), outputs

    # the background

    def _work(self) -> None:
        period = self.settings.period_s if self._policy else None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._wish is not None, period)
                if self._closed:
                    return
                wish, self._wish = self._wish, None
                held = self._held
                self._doing = None if wish is None else wish[0]
            if wish is None and not held:
                wish = self._asked_policy()
            try:
                if wish is not None:
                    self._swap(*wish)
            finally:
                with self._wake:
                    self._doing = None
                    self._wake.notify_all()

    def _asked_policy(self) -> tuple[int, str] | None:
        assert self._policy is not None
        state = self.state()
        now = time.monotonic()
        with self._lock:
            self._seen.memory[state.current] = state.memory_mb[state.current]
        try:
            wish = self._policy.wish(state)
        except Exception as error:
            self._tell(
                f"stay with {state.names[state.current]}: the policy failed, {first_line(error)}"
            )
            return None
        broken = {i for i, at in self._broken.items() if now - at < self.settings.retry_s}
        usable = [i for i in range(len(state.names)) if i not in broken] or [state.current]
        wanted = max((i for i in usable if i <= wish.variant), default=min(usable))
        if not wish.met:
            self._tell(wish.reason)
        chosen = self._steady.decide(state.current, wanted, now)
        if chosen is None:
            if wanted < state.current:
                self._tell(
                    f"stay with {state.names[state.current]}: {self.settings.most_switches} "
                    f"switches in {self.settings.within_s:g} s are enough; {wish.reason}"
                )
            return None
        before = chosen not in (wish.variant, wanted)
        return chosen, wish.reason + f"; {state.names[chosen]} was allowed all along" * before

    def _swap(self, place: int, reason: str) -> None:
        old, name = self._current, self.portfolio.variants[place].name
        if place == old.place:
            return
        with self._lock:
            self._doing = place
        started = time.monotonic()
        try:
            opened = self._opened_aside(place, gently=place > old.place)
        except Exception as error:
            self._broken[place] = time.monotonic()
            with self._lock:
                self._refused += 1
                self._events.append(Event(self._age(), name, first_line(error), None))
            self._tell(f"{first_line(error)}; {self.current} keeps serving")
            return
        if place > old.place and self._too_late(place):
            del opened
            give_back()
            self._tell(f"stay with {self.current}: {name} is ready, but no longer wanted")
            return
        now = time.monotonic()
        ms = 1e3 * (now - started)
        with self._wake:
            self._current, self._since = opened, now
            self._switches += 1
            self._events.append(Event(self._age(), name, reason, ms))
        was = self.portfolio.variants[old.place].name
        self._tell(f"to {name} (from {was}, ready in {ms:.0f} ms): {reason}")
        with self._wake:
            self._wake.wait_for(lambda: old.users == 0)
        old.session = None
        give_back()

    def _prepare(self) -> None:
        """Check and optimise all variants now, because a burst is no time for that."""
        for place in range(len(self.portfolio.variants)):
            try:
                self._opener.prepare(place)
            except Exception as error:
                self._tell(f"not to be served as it is: {first_line(error)}")
        give_back()

    def _too_late(self, place: int) -> bool:
        """Whether a more costly variant is no longer wanted once it is ready."""
        with self._lock:
            held, waiting = self._held, self._wish
        if waiting is not None:
            return waiting[0] != place
        if held or self._policy is None:
            return False
        with contextlib.suppress(Exception):  # a policy that fails has no say
            return self._policy.wish(self.state()).variant < place
        return False

    def _first(self, places: Sequence[int]) -> _Opened:
        """The first of them that is as it was built."""
        for place in places:
            try:
                return self._open(place, START_RUNS)
            except DeviceError:
                if place == places[-1]:
                    raise
        raise AssertionError("a portfolio has variants")

    def _opened_aside(self, place: int, gently: bool) -> _Opened:
        """Opened by a thread of its own, because a thread that gave way cannot take it back.

        A more costly variant is no hurry and leaves the cores to requests; a faster one is urgent.
        """
        first = give_way if gently and self.threads == 1 else None
        with ThreadPoolExecutor(1, "opening", first) as pool:
            return pool.submit(self._open, place).result()

    def _open(self, place: int, runs: int | None = None) -> _Opened:
        """Opened and warmed: by so many inferences, else without any where the system can.

        An inference slows the requests beside it by more than it saves the first one after it.
        """
        session = self._opener.open(place)
        if runs is None:
            runs = 0 if self._opener.page_in(place) else 1
        feed = {self.portfolio.input: np.zeros((1, *self.portfolio.shape), dtype=np.float32)}
        costs = [self._timed(session, feed)[0] for _ in range(runs)]
        if costs:
            with self._lock:
                self._seen.costs.setdefault(place, deque([min(costs)], maxlen=31))
        self._broken.pop(place, None)
        return _Opened(place, session)

    def _age(self) -> float:
        return time.monotonic() - self._began

    def _tell(self, text: str) -> None:
        # one that repeats itself but for its figures is told once
        plain = "".join(c for c in text if not c.isdigit())
        if plain != self._told or text.startswith("to "):
            # a log that fails must not end the thread that switches
            with contextlib.suppress(Exception):
                self._log(f"{self._age():.2f} s: {text}")
        self._told = plain


def _weights(variants: Sequence[Variant]) -> list[float]:
    """What variants cost relative to each other: as measured where all were, else their FLOPs."""
    measured = [variant.measured_here_ms for variant in variants]
    known = [ms for ms in measured if ms]
    return known if len(known) == len(measured) else [max(1.0, v.flops) for v in variants]


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)]


def resident_mb() -> float | None:
    """Memory of this process that is in RAM, mapped files included (MiB)."""
    for row in read_text("/proc/self/status").splitlines():
        if row.startswith("VmRSS:"):
            return float(row.split()[1]) / 1024
    return None


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def give_way() -> None:
    """Let other threads of this process go first, where the system knows threads by number."""
    with contextlib.suppress(OSError, AttributeError):
        me = threading.get_native_id() if sys.platform == "linux" else None
        if me is not None:
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + LESS_URGENT)


def give_back() -> None:
    """Let the C library return freed memory to the system, where it can (glibc)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files of a bundle and say what each variant takes on this machine."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bundle", help="folder of hdap portfolio build")
    parser.add_argument("--check", action="store_true", help="only compare files with SHA-256")
    parser.add_argument("--threads", type=int, default=1, help="of each inference")
    parser.add_argument("--runs", type=int, default=30, help="inferences of each variant")
    parser.add_argument("--cache", help="where this machine's own files go; default: the bundle")
    asked = parser.parse_args(arguments)
    try:
        portfolio = read_portfolio(asked.bundle)
        Opener(portfolio, asked.threads, asked.cache, print).check()
        print(f"{len(portfolio.variants)} variants of {portfolio.model}: files are as built")
        if not asked.check:
            _measure(asked.bundle, portfolio, asked)
    except DeviceError as problem:
        print(f"switcher: {problem}", file=sys.stderr)
        return 1
    return 0


def _measure(folder: str, portfolio: Portfolio, asked: argparse.Namespace) -> None:
    image = np.zeros(portfolio.shape, dtype=np.float32)
    first = portfolio.variants[0].name
    print(f"{'variant':<12}{'files MB':>10}{'median ms':>11}{'p95 ms':>9}{'RSS MB':>9}")
    with Switcher(folder, start=first, threads=asked.threads, cache=asked.cache) as switcher:
        for variant in portfolio.variants:
            switcher.switch(variant.name)
            switcher.wait()
            if switcher.current != variant.name:
                raise DeviceError(switcher.stats().events[-1].reason)
            times = sorted(switcher.answer(image).ms for _ in range(max(1, asked.runs)))
            rss = resident_mb()
            print(
                f"{variant.name:<12}{variant.bytes / MIB:>10.1f}{_quantile(times, 0.5):>11.2f}"
                f"{_quantile(times, 0.95):>9.2f}{'-' if rss is None else f'{rss:.0f}':>9}"
            )


if __name__ == "__main__":
    sys.exit(main())
