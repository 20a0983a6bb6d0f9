"""Getting variants ready to serve, with as little harm as can be to requests that run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hdap.device.messages import DecisionLog, DeviceError, first_line
from hdap.device.process import give_back, give_way
from hdap.device.request_statistics import RequestStatistics
from hdap.device.serving import OpenVariant, timed_run
from hdap.device.sessions import VariantSessions

START_RUNS = 5
"""Inferences at the start: the first is slower, and policies are asked by the cost of one."""


class WarmUp:
    """Opens variants and touches what their first request will need."""

    def __init__(
        self, sessions: VariantSessions, statistics: RequestStatistics, log: DecisionLog
    ) -> None:
        self.sessions, self._statistics, self._log = sessions, statistics, log
        self._threads = sessions.runtime.threads

    def prepare_all(self) -> None:
        """Check and optimise all variants now, because a burst is no time for that."""
        for place in range(len(self.sessions.portfolio.variants)):
            try:
                self.sessions.prepare(place)
            except Exception as error:
                self._log.tell(f"not to be served as it is: {first_line(error)}")
        give_back()

    def first(self, places: Sequence[int]) -> OpenVariant:
        """The first of them that is as it was built; raises `DeviceError` where none is."""
        for place in places[:-1]:
            try:
                return self._open(place, START_RUNS)
            except DeviceError:
                continue
        return self._open(places[-1], START_RUNS)

    def beside_requests(self, place: int, gently: bool) -> OpenVariant:
        """Opened by a thread of its own, because a thread that gave way cannot take it back.

        A more costly variant is no hurry and leaves the cores to requests (`gently`); a faster one
        is urgent.
        """
        first = give_way if gently and self._threads == 1 else None
        with ThreadPoolExecutor(1, "opening", first) as pool:
            return pool.submit(self._open, place).result()

    def _open(self, place: int, runs: int | None = None) -> OpenVariant:
        """Opened and warmed: by so many inferences, else without any where the system can.

        An inference slows the requests beside it by more than it saves the first one after it.
        """
        network = self.sessions.open(place)
        if runs is None:
            runs = 0 if self.sessions.page_in(place) else 1
        image = np.zeros((1, *self.sessions.portfolio.shape), dtype=np.float32)
        costs = [timed_run(network, image, self._threads)[0] for _ in range(runs)]
        if costs:
            self._statistics.warmed(place, min(costs))
        return OpenVariant(place, network)
