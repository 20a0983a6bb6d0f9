"""The driver of several processes: workers propose, one process enters what they found."""

import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np

from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.interrupts import ignored_interrupt, postponed_interrupt
from hdap.search.driver.ledger import Ledger
from hdap.search.driver.run_search import (
    FLUSH_SECONDS,
    OnBatch,
    SearchProgress,
    SearchResult,
    Stopped,
    best_mean_ms,
)
from hdap.search.driver.trial_batches import joined, taken
from hdap.search.driver.worker import Failed, Found, Job, Wanted, work, worker_seed
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import sampler_kind

EXCHANGE = 4
"""A worker hears of the others' best trials every so many batches: often enough to profit, seldom
enough that the populations stay different."""
ELITE = 8
PAUSE = 0.1
GOODBYE_SECONDS = 5.0


@dataclass
class _Worker:
    """A child process; `asked` trials are on their way, `known` are configurations it knows."""

    number: int
    process: SpawnProcess
    connection: Connection
    asked: int = 0
    batches: int = 0
    scored: int = 0
    known: set[bytes] = field(default_factory=set)


def run_workers(
    problem: SearchProblem,
    ledger: Ledger,
    workers: int,
    sampler: str = "fleet",
    timeout: float | None = None,
    seed: int = 0,
    before: TrialBatch | None = None,
    on_batch: OnBatch | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    note: Callable[[str], None] | None = None,
    host: int = 0,
) -> SearchResult:
    """Search with worker processes until the ledger's study is complete, or someone stops it.

    Every worker searches with a seed of its own, made of `seed`, `host` and its number, and hears
    of the best that the others found. Which trials a study gets depends on who was faster when:
    unlike a search in one process it cannot be repeated to the digit. A worker that dies is noted
    and the others go on.

    Args:
        before: trials of the study that `on_batch` need not get any more.
        on_batch: gets every other trial of the study once, also those that other processes found
            and those that were entered by a process that died before it could hand them on. What
            it refused by raising is offered again at the end.
        note: gets one line about each worker that died.

    Raises:
        InputError: `workers` or `timeout` is out of range.
        HdapError: all workers died.
    """
    if workers < 1 or (timeout is not None and not timeout > 0.0):
        raise InputError(
            f"`workers >= 1` and `timeout > 0` must hold, but got {workers=}, {timeout=}"
        )
    hub = _Hub(problem, ledger, sampler, before, on_batch)
    stopped: Stopped = "interrupted"
    try:
        hub.land(0.0)
        if ledger.done < ledger.limit:
            hub.start(workers, seed, host)
        while (found := hub.reason(timeout, should_stop)) is None:
            hub.ask()
            hub.receive(note or (lambda _: None), lambda: hub.reason(timeout, should_stop) is None)
            hub.land(FLUSH_SECONDS)
            if progress:
                progress(hub.progress)
        stopped = found
    except KeyboardInterrupt:
        pass
    finally:
        hub.stop()
        hub.land(0.0)
    return SearchResult(hub.trials, {}, stopped, hub.scored, hub.seconds)


class _Hub:
    """Between the workers and the ledger."""

    def __init__(
        self,
        problem: SearchProblem,
        ledger: Ledger,
        sampler: str,
        before: TrialBatch | None,
        on_batch: OnBatch | None,
    ) -> None:
        self.problem, self.ledger, self.sampler = problem, ledger, sampler
        self.kind = sampler_kind(sampler)
        self.on_batch = on_batch
        self.kept: list[TrialBatch] = [before] if before is not None and len(before) else []
        self.stored = {int(n) for part in self.kept for n in part.number}
        self.elite = self._best_of(self.kept)
        self.best_ms = min((best_mean_ms(b) for b in self.kept), default=np.inf)
        self.waiting: list[TrialBatch] = []
        self.workers: list[_Worker] = []
        self.batch = min(self.kind.batch, ledger.at_once)
        self.gone = 0
        self._folder = tempfile.TemporaryDirectory(prefix="hdap-workers-")
        self._started = self._landed = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def scored(self) -> int:
        return self.gone + sum(w.scored for w in self.workers)

    @property
    def trials(self) -> TrialBatch | None:
        if not self.kept:
            return None
        every = joined(*self.kept)
        return taken(every, every.number.argsort(kind="stable"))

    @property
    def progress(self) -> SearchProgress:
        ledger = self.ledger
        return SearchProgress(ledger.done, ledger.limit, self.best_ms, self.seconds, self.scored)

    def start(self, workers: int, seed: int, host: int) -> None:
        context = multiprocessing.get_context("spawn")
        # A file and not an argument: handing it over would wait for each worker to be up in turn.
        path = Path(self._folder.name) / "job"
        path.write_bytes(pickle.dumps(Job(self.problem, self.sampler, self.batch, self.trials)))
        for number in range(workers):
            ours, theirs = context.Pipe()
            arguments = (theirs, path, worker_seed(seed, host, number), number == 0)
            process = context.Process(target=work, args=arguments, daemon=True)
            with ignored_interrupt():
                process.start()
            theirs.close()
            self.workers.append(_Worker(number, process, ours))

    def reason(
        self, timeout: float | None, should_stop: Callable[[], bool] | None
    ) -> Stopped | None:
        if self.ledger.done >= self.ledger.limit:
            return "finished"
        if timeout is not None and self.seconds >= timeout:
            return "timeout"
        return "stopped" if should_stop and should_stop() else None

    def ask(self) -> None:
        """Ask every idle worker for a batch, as long as the study lacks trials."""
        for worker in self.workers:
            lacking = self.ledger.limit - self.ledger.done - sum(w.asked for w in self.workers)
            wanted = min(self.batch, lacking)
            if worker.asked or wanted < 1:
                continue
            elsewhere = self._elsewhere(worker) if worker.batches % EXCHANGE == 0 else None
            worker.batches += 1
            try:
                worker.connection.send(Wanted(wanted, elsewhere))
            except OSError:
                continue  # it died: `receive` finds out
            worker.asked = wanted

    def receive(self, note: Callable[[str], None], go_on: Callable[[], bool]) -> None:
        """Enter what workers found, and let go of those that died."""
        ready = wait([w.connection for w in self.workers], timeout=PAUSE)
        for worker in [w for w in self.workers if w.connection in ready]:
            try:
                message: Found | Failed = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join(GOODBYE_SECONDS)
                message = Failed(_end_of(worker.process))
            if isinstance(message, Failed):
                self._let_go(worker, message.reason, note)
                continue
            worker.asked, worker.scored = 0, message.scored
            worker.known |= {row.tobytes() for row in message.trials.counts}
            self.ledger.add(message.trials)
            self.land(FLUSH_SECONDS)
            if not go_on():
                return

    def _let_go(self, worker: _Worker, reason: str, note: Callable[[str], None]) -> None:
        self.workers.remove(worker)
        self.gone += worker.scored
        worker.connection.close()
        if not self.workers:
            raise HdapError(
                f"at least one worker must live, but the last ended: {reason}; what was found is "
                f"kept, go on with --resume"
            )
        note(f"worker {worker.number} ended ({reason}): {len(self.workers)} go on")

    def land(self, patience: float) -> None:
        """Hand on the trials that are new, if the last time is at least `patience` seconds ago."""
        if time.monotonic() - self._landed < patience:
            return
        with postponed_interrupt():
            new = self.ledger.news()
            if new is not None:
                self._take(new)
            if self.waiting and self.on_batch:
                self.on_batch(joined(*self.waiting), {})
            self.waiting = []
            self._landed = time.monotonic()

    def _take(self, new: TrialBatch) -> None:
        fresh = np.array([int(n) not in self.stored for n in new.number], dtype=np.bool_)
        if not fresh.any():
            return
        new = taken(new, fresh)
        self.kept.append(new)
        self.waiting.append(new)
        self.stored |= {int(n) for n in new.number}
        self.best_ms = min(self.best_ms, best_mean_ms(new))
        self.elite = self._best_of([new] if self.elite is None else [self.elite, new])

    def stop(self) -> None:
        """Hang up: a worker ends when it next looks, at the latest after its batch."""
        for worker in self.workers:
            worker.connection.close()
        deadline = time.monotonic() + GOODBYE_SECONDS
        for worker in self.workers:
            worker.process.join(max(deadline - time.monotonic(), 0.0))
            if worker.process.is_alive():
                worker.process.kill()  # nothing of what it holds counts
        self._folder.cleanup()

    def _elsewhere(self, worker: _Worker) -> TrialBatch | None:
        if self.elite is None:
            return None
        rows = [i for i, row in enumerate(self.elite.counts) if row.tobytes() not in worker.known]
        worker.known |= {row.tobytes() for row in self.elite.counts}
        return taken(self.elite, np.array(rows, dtype=np.int64)) if rows else None

    def _best_of(self, parts: Sequence[TrialBatch]) -> TrialBatch | None:
        if not parts:
            return None
        every = joined(*parts)
        _, first = np.unique(every.counts, axis=0, return_index=True)
        some = taken(every, first[every.feasible[first]])
        if not len(some):
            return None
        return taken(some, self.problem.scores(some.counts).order[:ELITE])


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
