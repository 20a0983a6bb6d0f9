"""What one process of `benchmarks.portfolio.switching` runs: costs, swaps, memory, or a day."""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.portfolio.switching_ways import (
    WAYS,
    Image,
    Memory,
    OnDemand,
    Requests,
    Resident,
    Swapped,
    Way,
    image_for,
    mapped_sessions,
    plain,
)
from hdap.device.policies.base import Decision, Policy, State
from hdap.device.policies.device_limits import MemoryLimit
from hdap.device.policies.registry import AllOf
from hdap.device.policies.request_limits import LatencyTarget, Load
from hdap.device.process import resident_mb
from hdap.device.switcher import SwitchSettings
from hdap.device.variant_files import read_portfolio

COST_RUNS = 12


@dataclass(frozen=True)
class Job:
    """What a process is to do; `due`, `spacing`, `pressure` and `length` are seconds."""

    kind: str
    folder: str
    way: str = ""
    workers: int = 1
    due: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    spacing: float = 0.0
    fixed: int = -1
    deadline_ms: float = 0.0
    limit_mb: float = 0.0
    pressure: tuple[float, float] = (0.0, 0.0)
    length: float = 0.0

    def of(self, way: str, fixed: int = -1) -> "Job":
        """The same for one way."""
        return replace(self, way=way, fixed=fixed)


def costs(job: Job) -> dict[str, Any]:
    """Core milliseconds of each variant, as ONNX Runtime opens it and mapped, interleaved."""
    folder = Path(job.folder)
    portfolio = read_portfolio(job.folder)
    opener, image = mapped_sessions(portfolio), image_for(portfolio)
    found: dict[str, list[float]] = {"plain": [], "mapped": []}
    for place in range(len(portfolio.variants)):
        sessions = {"plain": plain(portfolio, folder, place), "mapped": opener.open(place)}
        times: dict[str, list[float]] = {name: [] for name in sessions}
        for _ in range(COST_RUNS):
            for name, session in sessions.items():
                start = time.thread_time()
                session.run(image)
                times[name].append(1e3 * (time.thread_time() - start))
        for name, ms in times.items():
            found[name].append(float(np.median(ms[2:])))
    return {"ms": found, "files": [v.bytes / 2**20 for v in portfolio.variants]}


def swaps(job: Job) -> dict[str, Any]:
    """A wish for another variant every `spacing` while requests arrive."""
    way = WAYS[job.way](Path(job.folder), job.workers)
    image = image_for(way.portfolio)
    _touch_all(way, image)
    load = Requests(way, job.due)
    with load.running():
        for at, place in enumerate(job.places):
            time.sleep(max(0.0, at * job.spacing - load.now()))
            if isinstance(way, Swapped):
                way.switcher.wait()  # a wish that waits would be replaced
            way.want(place)
    way.close()
    background: list[float] = []
    loads = way.loads_ms[len(way.portfolio.variants) :] if isinstance(way, OnDemand) else []
    switches = len(loads)
    if isinstance(way, Swapped):
        events = way.switcher.stats().events
        background = [e.ms for e in events if e.ms is not None and e.reason == "asked for"]
        switches = way.switcher.stats().switches - len(way.portfolio.variants)
    return {
        "answered": [(a.due, a.done, a.variant) for a in load.answered],
        "lost": load.lost,
        "switches": switches,
        "loads": loads,
        "background": background,
    }


def _touch_all(way: Way, image: Image) -> None:
    """Every variant answers once, so that no run pays for what is done once on a machine."""
    for place in range(len(way.portfolio.variants)):
        way.want(place)
        if isinstance(way, Swapped):
            way.switcher.wait()
        way.ask(image)


def memory(job: Job) -> dict[str, Any]:
    """What is held beyond a bare process, with each variant after all others have run."""
    import onnxruntime

    portfolio = read_portfolio(job.folder)
    image = image_for(portfolio)
    assert onnxruntime.get_device()
    bare = Memory.now()
    way: Way
    if job.way == "switcher":
        way = Swapped(Path(job.folder), 1)
    else:
        way = Resident(Path(job.folder), 1, mapped="mapped" in job.way)
    _touch_all(way, image)
    found = []
    for place in range(len(portfolio.variants)) if job.way == "switcher" else (-1,):
        if isinstance(way, Swapped):
            way.want(place)
            way.switcher.wait()
        for _ in range(3):
            way.ask(image)
        found.append(Memory.now())
    way.close()
    return {
        "more": [asdict(one.more_than(bare)) for one in found],
        "whole": [asdict(one) for one in found],
    }


@dataclass(frozen=True)
class Pressure(Policy):
    """A limit on memory that holds for some time of a run."""

    limit: MemoryLimit
    holds: Callable[[], bool]

    @classmethod
    def read(cls, text: str) -> "Pressure":
        return cls(MemoryLimit.read(text), lambda: True)

    def decide(self, state: State) -> Decision:
        if self.holds():
            return self.limit.decide(state)
        return Decision(len(state.names) - 1, "memory is free")


def day(job: Job) -> dict[str, Any]:
    """Requests of a day, answered by one fixed variant or by the switcher with its policies."""
    began = [time.perf_counter()]

    def pressed() -> bool:
        return job.pressure[0] <= time.perf_counter() - began[0] < job.pressure[1]

    way: Way
    if job.fixed >= 0:
        way = OnDemand(Path(job.folder), job.workers)
        way.want(job.fixed)
    else:
        limit = Pressure(MemoryLimit(job.limit_mb), pressed)
        policy = AllOf((LatencyTarget(0.7 * job.deadline_ms), Load(0.6, 4), limit))
        settings = SwitchSettings(
            dwell_s=0.8, most_switches=8, within_s=8.0, period_s=0.1, window_s=1.0
        )
        way = Swapped(Path(job.folder), job.workers, policy, settings)
    way.ask(image_for(way.portfolio))
    load, sampled = Requests(way, job.due), list[tuple[float, float]]()
    end = threading.Event()

    def sample() -> None:
        while not end.wait(0.25):
            sampled.append((load.now(), resident_mb() or 0.0))

    sampler = threading.Thread(target=sample)
    with load.running():
        began[0] = load.began
        sampler.start()
    end.set()
    sampler.join()
    way.close()
    return {
        "answered": [(a.due, a.done, a.variant) for a in load.answered],
        "lost": load.lost,
        "switches": way.switcher.stats().switches if isinstance(way, Swapped) else 0,
        "memory": sampled,
        "log": way.lines if isinstance(way, Swapped) else [],
    }


RUNS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "costs": costs,
    "swaps": swaps,
    "memory": memory,
    "day": day,
}


if __name__ == "__main__":
    asked = Job(**json.loads(sys.argv[1]))
    print(json.dumps(RUNS[asked.kind](asked)))
