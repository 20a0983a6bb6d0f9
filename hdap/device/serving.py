"""The network that requests run on, and how it is replaced while they do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdap.device.messages import TurnedAway
from hdap.device.process import give_back
from hdap.device.runtimes.base import OpenNetwork

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image


class Slots:
    """So many workers, given to those who wait in the order in which they came."""

    def __init__(self, workers: int) -> None:
        self._lock = threading.Lock()
        self._free = workers
        self._queue: deque[threading.Lock] = deque()
        self._given: set[threading.Lock] = set()
        self._ends = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def turn_away(self) -> None:
        """Whoever waits, now or later, gets a `TurnedAway`; those who work go on."""
        with self._lock:
            self._ends = True
            while self._queue:
                self._queue.popleft().release()

    def __enter__(self) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            if self._ends:
                raise TurnedAway("requests that waited are not answered: the program ends")
            self._queue.append(gate)
        try:
            gate.acquire()
        except BaseException:  # Ctrl-C while it waited: what it was given goes to the next
            if self._leave(gate):
                self.__exit__()
            raise
        if not self._leave(gate):
            raise TurnedAway("requests that waited are not answered: the program ends")

    def _leave(self, gate: threading.Lock) -> bool:
        """Whether one who no longer waits was given a worker."""
        with self._lock:
            if gate in self._queue:
                self._queue.remove(gate)
            given = gate in self._given
            self._given.discard(gate)
        return given

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._queue:
                gate = self._queue.popleft()
                self._given.add(gate)
                gate.release()
            else:
                self._free += 1


@dataclass
class OpenVariant:
    """A network with how many requests run on it; None once it was given back."""

    place: int
    network: OpenNetwork | None
    users: int = 0


def timed_run(network: OpenNetwork, image: Image, threads: int) -> tuple[float, Sequence[Image]]:
    """Core milliseconds and outputs of an inference."""
    # with one thread its processor time tells the cost, whatever else runs
    clock = time.thread_time if threads == 1 else time.perf_counter
    started = clock()
    outputs = network.run(image)
    return max(1e3 * threads * (clock() - started), 1e-3), outputs


class Serving:
    """One variant at a time; `workers` inferences at once, more wait in the order they came.

    `since` is when the present one began to serve, in seconds of `time.monotonic`.
    """

    def __init__(self, first: OpenVariant, workers: int, threads: int) -> None:
        self.slots, self.threads = Slots(workers), threads
        self.current, self.since = first, time.monotonic()
        self._changed = threading.Condition()

    def infer(self, image: Image) -> tuple[int, float, Sequence[Image]]:
        """Which variant ran, core milliseconds it took, outputs."""
        with self.slots:
            with self._changed:
                variant = self.current
                variant.users += 1
            try:
                assert variant.network is not None
                return (variant.place, *timed_run(variant.network, image, self.threads))
            finally:
                with self._changed:
                    variant.users -= 1
                    self._changed.notify_all()

    def replace(self, opened: OpenVariant) -> OpenVariant:
        """From now on requests run on it; the one before, which is still to be retired."""
        with self._changed:
            old, self.current, self.since = self.current, opened, time.monotonic()
        return old

    def retire(self, old: OpenVariant) -> None:
        """Give a variant back that no longer serves, once no request runs on it."""
        with self._changed:
            self._changed.wait_for(lambda: old.users == 0)
        old.network = None
        give_back()
