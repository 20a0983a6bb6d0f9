"""Serve one variant of a portfolio with ONNX Runtime and swap it for another while it serves.

Runs on the device: Python 3.9 or later with onnxruntime and numpy; `hdap portfolio build` puts
switcher.pyz into the bundle. In an application (with `sys.path.insert(0, "bundle/switcher.pyz")`
where hdap is not installed):

    with Switcher("bundle", policy=read_policy(["latency:30ms", "memory:300MB"]), log=print) as net:
        output = net.run(image)[0]              # from any number of threads
        net.switch("v1")                        # or by hand: returns at once

A background thread opens and warms the next variant; requests run on the old one until the moment
it is replaced, so none fails and none waits. The old session is released when its last request has
ended: there are never more than two. Files are checked against the manifest's SHA-256 before they
are opened, and each variant is put in this machine's order once (see `Runtime.prepare`), so that
its weights stay in a mapped file that the system may take back.

A policy says from what the device and the requests are like now which variant it allows at most;
of several the most restrictive counts. A faster variant follows at once, a more accurate one only
when it was allowed without a break for some time, longer after a mistake, and switches within any
minute are bounded.

    python3 switcher.pyz .               each variant: size, ms and memory on this machine
    python3 switcher.pyz . --check       only whether every file is as it was built
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hdap.device.messages import DecisionLog, DeviceError
from hdap.device.one_line import end_in_a_line
from hdap.device.policies.base import Policy, State
from hdap.device.policies.registry import POLICIES, read_policy, require_possible
from hdap.device.process import give_back, resident_mb, usable_cores
from hdap.device.request_statistics import FEW, Cost, RequestStatistics, quantile
from hdap.device.runtimes.registry import load_runtime
from hdap.device.sensors import Sensors
from hdap.device.serving import Serving
from hdap.device.sessions import VariantSessions
from hdap.device.switch_loop import Event, SwitchLoop
from hdap.device.variant_chooser import SwitchSettings, VariantChooser
from hdap.device.variant_files import Portfolio, read_portfolio
from hdap.device.warm_up import WarmUp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hdap.device.runtimes.base import Image

__all__ = [
    "POLICIES",
    "DeviceError",
    "Policy",
    "Stats",
    "SwitchSettings",
    "Switcher",
    "read_policy",
]

MIB = 2.0**20


@dataclass(frozen=True)
class InferenceAnswer:
    """Outputs of one request, which variant gave them, and milliseconds with waiting."""

    outputs: Sequence[Image]
    variant: str
    ms: float


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


class Switcher:
    """One variant of a bundle at a time behind `run`; see the text at the top of this file.

    Without a policy the most accurate variant runs until `switch` says otherwise. `threads` work on
    one inference, `workers` inferences run at once (default: as many as there are cores for), more
    wait in order. Raises `DeviceError` where nothing can be served, and where no variant satisfies
    the policy.
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
        settings, self.cores = settings or SwitchSettings(), usable_cores()
        variants = self.portfolio.variants
        self._log = DecisionLog(log, time.monotonic)
        self._sensors, self._memory = Sensors(), dict[int, float]()
        self._statistics = RequestStatistics(variants, settings.window_s)
        self.sessions = VariantSessions(self.portfolio, load_runtime(threads=threads), cache, log)
        warm_up = WarmUp(self.sessions, self._statistics, self._log)
        warm_up.prepare_all()
        places = range(len(variants))
        first = [self.portfolio.index(start)] if start else places if policy else places[-1:]
        workers = workers or max(1, self.cores // threads)
        self.serving = Serving(warm_up.first(first), workers, threads)
        if policy is not None:
            require_possible(policy, self.state())
        self._log.tell(f"start with {self.current}")
        chooser = VariantChooser(policy, settings, self._log) if policy else None
        names = [variant.name for variant in variants]
        self._loop = SwitchLoop(names, self.serving, warm_up, chooser, self.state, self._log)

    def run(self, image: NDArray[Any]) -> Sequence[Image]:
        """Outputs for one input, with or without a batch of 1 in front.

        Raises `DeviceError` for another shape, and once the switcher was closed.
        """
        return self.answer(image).outputs

    def answer(self, image: NDArray[Any]) -> InferenceAnswer:
        """As `run`, with the variant that answered and the time it took."""
        began, cost = time.monotonic(), None
        self._statistics.begin(began)
        try:
            place, core_ms, outputs = self.serving.infer(self._checked(image))
            cost = (place, core_ms)
        finally:
            ms = self._statistics.end(began, time.monotonic(), cost)
        return InferenceAnswer(outputs, self.portfolio.variants[place].name, ms)

    def switch(self, name: str, reason: str = "asked for") -> None:
        """Ask for a variant and hold it against the policy; returns at once.

        A wish that waits for the switch under way is replaced. Raises `DeviceError` for another
        name.
        """
        self._loop.ask(self.portfolio.index(name), reason)

    def follow(self) -> None:
        """Give the choice back to the policy."""
        self._loop.follow()

    def wait(self, timeout: float | None = None) -> bool:
        """Until no switch is under way or asked for and the old session is gone; False: not yet."""
        return self._loop.wait(timeout)

    @property
    def current(self) -> str:
        """The variant that a request would run on now."""
        return self.portfolio.variants[self.serving.current.place].name

    def state(self) -> State:
        """What the policy is asked about now."""
        now, clock = time.monotonic(), time.localtime()
        place, variants = self.serving.current.place, self.portfolio.variants
        requests = self._statistics.figures(now, self.serving.since)
        rss = resident_mb() or variants[place].bytes / MIB
        self._memory[place] = rss
        device = self._sensors.read(("mem_available_mb", "battery_pct", "temperature_c"))
        return State(
            names=tuple(variant.name for variant in variants),
            current=place,
            costs_ms=tuple(cost.ms for cost in self.costs()),
            memory_mb=tuple(
                self._memory.get(i, rss + (variant.bytes - variants[place].bytes) / MIB)
                for i, variant in enumerate(variants)
            ),
            rate=requests.rate,
            queue=self.serving.slots.waiting,
            p95_ms=requests.quantile_ms(0.95, FEW),
            cores=self.cores,
            available_mb=device.mem_available_mb,
            battery_pct=device.battery_pct,
            temperature_c=device.temperature_c,
            hour=clock.tm_hour + clock.tm_min / 60,
        )

    def costs(self) -> tuple[Cost, ...]:
        """What each variant takes here."""
        return self._statistics.costs()

    def stats(self) -> Stats:
        """Counts and what requests were like lately."""
        requests, loop = self._statistics.figures(time.monotonic()), self._loop.figures()
        to = loop.switching_to
        switched = [event.ms for event in loop.events if event.ms is not None]
        return Stats(
            current=self.current,
            switching_to=None if to is None else self.portfolio.variants[to].name,
            held=loop.held,
            requests=requests.requests,
            failures=requests.failures,
            switches=loop.switches,
            refused=loop.refused,
            last_switch_ms=switched[-1] if switched else None,
            running=requests.running,
            queue=self.serving.slots.waiting,
            rate=requests.rate,
            p50_ms=requests.quantile_ms(0.5),
            p95_ms=requests.quantile_ms(0.95),
            rss_mb=resident_mb(),
            uptime_s=self._log.age,
            events=loop.events,
        )

    def turn_away(self) -> None:
        """Requests that wait for a worker end with `TurnedAway`; those that run have their answer.

        For a program that is about to end: `close` waits for whatever waits.
        """
        self.serving.slots.turn_away()

    def close(self) -> None:
        """Take no more requests, let those that run end, release everything."""
        self._loop.stop()
        self._statistics.close()
        self._loop.join()
        self.serving.current.network = None
        give_back()

    def __enter__(self) -> Switcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, image: NDArray[Any]) -> Image:
        array = np.asarray(image)
        shape = self.portfolio.shape
        if array.shape == shape:
            array = array[None]
        if array.shape != (1, *shape) or array.dtype.kind not in "fiu":
            raise DeviceError(
                f"an input must be numbers of shape {list(shape)}, but has shape "
                f"{list(array.shape)} of {array.dtype}; give one, not a batch"
            )
        return np.ascontiguousarray(array, dtype=np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files of a bundle and say what each variant takes on this machine."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bundle", help="folder of hdap portfolio build")
    parser.add_argument("--check", action="store_true", help="only compare files with SHA-256")
    parser.add_argument("--threads", type=int, default=1, help="of each inference")
    parser.add_argument("--runs", type=int, default=30, help="inferences of each variant")
    parser.add_argument("--cache", help="where this machine's own files go; default: the bundle")
    asked = parser.parse_args(arguments)
    return end_in_a_line("switcher", lambda: _check(asked))


def _check(asked: argparse.Namespace) -> int:
    portfolio = read_portfolio(asked.bundle)
    runtime = load_runtime(threads=asked.threads)
    VariantSessions(portfolio, runtime, asked.cache, print).check()
    print(f"{len(portfolio.variants)} variants of {portfolio.model}: files are as built")
    if not asked.check:
        _measure(asked.bundle, portfolio, asked)
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
                f"{variant.name:<12}{variant.bytes / MIB:>10.1f}{quantile(times, 0.5):>11.2f}"
                f"{quantile(times, 0.95):>9.2f}{'-' if rss is None else f'{rss:.0f}':>9}"
            )


if __name__ == "__main__":
    sys.exit(main())
