"""Ways to have the variants of a bundle at hand, and a load of requests for them.

What runs in each process of `benchmarks.portfolio.switching`.
"""

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdap.device.policies.base import Policy
from hdap.device.process import give_back
from hdap.device.runtimes.base import OpenNetwork
from hdap.device.runtimes.onnx_runtime import OnnxRuntime
from hdap.device.serving import Slots
from hdap.device.sessions import VariantSessions
from hdap.device.switcher import Switcher, SwitchSettings
from hdap.device.variant_files import Portfolio, read_portfolio

Image = NDArray[np.float32]
CLIENTS = 64


@dataclass(frozen=True)
class Answered:
    """Seconds of the run's clock: when it was due and had its answer; which variant gave it."""

    due: float
    done: float
    variant: int

    @property
    def ms(self) -> float:
        """What the client waited, from when the request was due."""
        return 1e3 * (self.done - self.due)


class Way(ABC):
    """Variants behind `ask`, from any number of threads; two workers in the order of arrival."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.portfolio: Portfolio = read_portfolio(str(folder))
        self.folder, self.slots = folder, Slots(workers)

    @abstractmethod
    def want(self, place: int) -> None:
        """From now on requests should be answered by this variant; returns at once."""

    @abstractmethod
    def ask(self, image: Image) -> int:
        """The variant that answered."""

    def close(self) -> None:  # noqa: B027
        """Give everything back; most have nothing to do."""


def plain(portfolio: Portfolio, folder: Path, place: int) -> OpenNetwork:
    """A variant as ONNX Runtime opens it by default, with one thread."""
    return OnnxRuntime().open(str(folder / f"{portfolio.variants[place].name}.onnx"))


def mapped_sessions(portfolio: Portfolio) -> VariantSessions:
    """What opens variants over weights in mapped files."""
    return VariantSessions(portfolio, OnnxRuntime(), None, print)


class Resident(Way):
    """All variants are open, so a switch costs nothing; `mapped`: over weights in mapped files."""

    def __init__(self, folder: Path, workers: int, mapped: bool = False) -> None:
        super().__init__(folder, workers)
        places = range(len(self.portfolio.variants))
        opener = mapped_sessions(self.portfolio) if mapped else None
        self.sessions = [
            opener.open(i) if opener else plain(self.portfolio, folder, i) for i in places
        ]
        self.wanted = len(self.sessions) - 1

    def want(self, place: int) -> None:
        self.wanted = place

    def ask(self, image: Image) -> int:
        with self.slots:
            place = self.wanted
            self.sessions[place].run(image)
        return place


class OnDemand(Way):
    """One variant is open; the first request that needs another opens it while others wait.

    `mapped`: from what `hdap.portfolio` keeps for this machine, so that only the place differs at
    which the opening happens.
    """

    def __init__(self, folder: Path, workers: int, mapped: bool = False) -> None:
        super().__init__(folder, workers)
        self._opener = mapped_sessions(self.portfolio) if mapped else None
        self._lock = threading.Lock()
        self.wanted = len(self.portfolio.variants) - 1
        self._held: tuple[int, OpenNetwork | None] = (self.wanted, self._open(self.wanted))
        self.loads_ms: list[float] = []

    def _open(self, place: int) -> OpenNetwork:
        if self._opener:
            return self._opener.open(place)
        return plain(self.portfolio, self.folder, place)

    def want(self, place: int) -> None:
        self.wanted = place

    def ask(self, image: Image) -> int:
        with self.slots:
            with self._lock:
                place = self.wanted
                if self._held[0] != place:
                    start = time.perf_counter()
                    self._held = (-1, None)
                    give_back()
                    self._held = (place, self._open(place))
                    self.loads_ms.append(1e3 * (time.perf_counter() - start))
                session = self._held[1]
                assert session is not None
            session.run(image)
        return place


class Swapped(Way):
    """`hdap.device.switcher`."""

    def __init__(
        self,
        folder: Path,
        workers: int,
        policy: Policy | None = None,
        settings: SwitchSettings | None = None,
    ) -> None:
        super().__init__(folder, workers)
        self.lines: list[str] = []
        self.switcher = Switcher(
            str(folder),
            policy=policy,
            workers=workers,
            settings=settings,
            log=self.lines.append,
        )
        self._places = {v.name: i for i, v in enumerate(self.portfolio.variants)}

    def want(self, place: int) -> None:
        self.switcher.switch(self.portfolio.variants[place].name)

    def ask(self, image: Image) -> int:
        return self._places[self.switcher.answer(image).variant]

    def close(self) -> None:
        self.switcher.close()


WAYS: dict[str, Callable[[Path, int], Way]] = {
    "all resident": Resident,
    "on demand": OnDemand,
    "on demand, mapped": lambda folder, workers: OnDemand(folder, workers, mapped=True),
    "switcher": Swapped,
}


def image_for(portfolio: Portfolio) -> Image:
    """One random input, 1 x C x H x W."""
    shape = (1, *portfolio.shape)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


class Requests:
    """Requests at given times (s), answered by client threads that do not wait for each other."""

    def __init__(self, way: Way, due: Sequence[float]) -> None:
        self.way, self.due = way, due
        self.answered: list[Answered] = []
        self.lost: list[str] = []
        self.began = 0.0

    def now(self) -> float:
        """Seconds since the load began."""
        return time.perf_counter() - self.began

    @contextmanager
    def running(self) -> Iterator[None]:
        """Requests arrive while the body runs; at its end all have their answers."""
        image, arrived = image_for(self.way.portfolio), queue.SimpleQueue[float | None]()

        def client() -> None:
            while (due := arrived.get()) is not None:
                try:
                    place = self.way.ask(image)
                    self.answered.append(Answered(due, self.now(), place))
                except Exception as error:
                    self.lost.append(repr(error))

        def arrive() -> None:
            for due in self.due:
                time.sleep(max(0.0, due - self.now()))
                arrived.put(due)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        self.began = time.perf_counter()
        source = threading.Thread(target=arrive)
        source.start()
        try:
            yield
        finally:
            source.join()
            for _ in threads:
                arrived.put(None)
            for thread in threads:
                thread.join()


@dataclass(frozen=True)
class Memory:
    """MiB of this process: in RAM, its share of it, its own, and what cannot be taken back."""

    rss: float
    pss: float
    private: float
    anonymous: float

    @classmethod
    def now(cls) -> "Memory":
        """As the kernel tells, once freed memory is given back."""
        give_back()
        rows = [row.split() for row in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
        told = {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows}
        private = told["Private_Clean"] + told["Private_Dirty"]
        return cls(told["Rss"], told["Pss"], private, told["Anonymous"])

    def more_than(self, other: "Memory") -> "Memory":
        """Beyond what there was before."""
        return Memory(
            self.rss - other.rss,
            self.pss - other.pss,
            self.private - other.private,
            self.anonymous - other.anonymous,
        )
