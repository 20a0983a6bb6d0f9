"""Several processes that search one study: each proposes, and hears of the others' best."""

import multiprocessing
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np

from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.proposal_source import ProposalSource, State
from hdap.search.driver.worker import Failed, FoundTrials, Job, Wanted, work
from hdap.search.problem.evaluation import joined
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS

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
    exhausted: bool = False
    known: set[bytes] = field(default_factory=set)


class WorkerPool(ProposalSource):
    """Worker processes of this machine, each with a seed made of `seed`, `host` and its number.

    Which trials a study gets depends on who was faster when: unlike a search in one process it
    cannot be repeated to the digit. A worker that dies is told to `note` in one line, and the
    others go on; `advance` raises HdapError when all have died.

    Raises:
        InputError: `workers` is out of range, or no sampler has that name.
    """

    def __init__(
        self,
        problem: SearchProblem,
        workers: int,
        sampler: str = "fleet",
        seed: int = 0,
        host: int = 0,
        note: Callable[[str], None] | None = None,
    ) -> None:
        if workers < 1:
            raise InputError(f"`workers >= 1` must hold, but got {workers=}")
        self.problem, self.sampler = problem, sampler
        self._batch = SAMPLERS[sampler].batch
        self._seeds = [worker_seed(seed, host, number) for number in range(workers)]
        self._note = note or (lambda _: None)
        self._workers: list[_Worker] = []
        self._heard: list[TrialBatch] = []
        self._scored_by_dead = 0
        self._folder = tempfile.TemporaryDirectory(prefix="hdap-workers-")

    @property
    def scored(self) -> int:
        return self._scored_by_dead + sum(worker.scored for worker in self._workers)

    @property
    def exhausted(self) -> bool:
        return bool(self._workers) and all(worker.exhausted for worker in self._workers)

    def start(self, known: TrialBatch | None, state: State, at_once: int) -> None:
        self._batch = min(self._batch, at_once)
        self._heard = [] if known is None else [known]
        context = multiprocessing.get_context("spawn")
        # A file and not an argument: handing it over would wait for each worker to be up in turn.
        path = Path(self._folder.name) / "job"
        path.write_bytes(pickle.dumps(Job(self.problem, self.sampler, self._batch, known)))
        for number, seed in enumerate(self._seeds):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(theirs, path, seed, number == 0), daemon=True
            )
            with _ignored_interrupt():
                process.start()
            theirs.close()
            self._workers.append(_Worker(number, process, ours))

    def advance(self, wanted: int) -> Iterator[TrialBatch]:
        self._ask(wanted)
        ready = wait([w.connection for w in self._workers], timeout=PAUSE)
        for worker in [w for w in self._workers if w.connection in ready]:
            try:
                message: FoundTrials | Failed = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join(GOODBYE_SECONDS)
                message = Failed(_end_of(worker.process))
            if isinstance(message, Failed):
                self._let_go(worker, message.reason)
                continue
            worker.asked, worker.scored = 0, message.scored
            worker.exhausted = message.exhausted
            if message.trials is not None:
                worker.known |= {row.tobytes() for row in message.trials.counts}
                yield message.trials

    def hear(self, new: TrialBatch) -> None:
        self._heard.append(new)

    def stop(self) -> None:
        """Hang up: a worker ends when it next looks, at the latest after its batch."""
        for worker in self._workers:
            worker.connection.close()
        deadline = time.monotonic() + GOODBYE_SECONDS
        for worker in self._workers:
            worker.process.join(max(deadline - time.monotonic(), 0.0))
            if worker.process.is_alive():
                worker.process.kill()  # nothing of what it holds counts
        self._folder.cleanup()

    def _ask(self, wanted: int) -> None:
        """Ask every idle worker for a batch, as long as the study lacks trials."""
        for worker in self._workers:
            lacking = wanted - sum(w.asked for w in self._workers)
            asked = min(self._batch, lacking)
            if worker.asked or worker.exhausted or asked < 1:
                continue
            elsewhere = self._best_unknown_to(worker) if worker.batches % EXCHANGE == 0 else None
            worker.batches += 1
            try:
                worker.connection.send(Wanted(asked, elsewhere))
            except OSError:
                continue  # it died: the next look at its connection finds out
            worker.asked = asked

    def _let_go(self, worker: _Worker, reason: str) -> None:
        self._workers.remove(worker)
        self._scored_by_dead += worker.scored
        worker.connection.close()
        if not self._workers:
            raise HdapError(
                f"at least one worker must live, but the last ended: {reason}; what was found is "
                f"kept, go on with --resume"
            )
        self._note(f"worker {worker.number} ended ({reason}): {len(self._workers)} go on")

    def _best_unknown_to(self, worker: _Worker) -> TrialBatch | None:
        """Of the best of all trials those that the worker has not heard of; None where none is."""
        if not self._heard:
            return None
        every = joined(*self._heard)
        _, first = np.unique(every.counts, axis=0, return_index=True)
        some = every.take(first[every.feasible[first]])
        best = some.take(some.ranking.argsort(kind="stable")[:ELITE])
        self._heard = [best]
        keys = [row.tobytes() for row in best.counts]
        unknown = [row for row, key in enumerate(keys) if key not in worker.known]
        worker.known |= set(keys)
        return best.take(np.array(unknown, dtype=np.int64)) if unknown else None


def worker_seed(seed: int, host: int, worker: int) -> int:
    """A seed of its own for every worker of every process that joined a study."""
    return int(np.random.SeedSequence([seed, host, worker]).generate_state(1)[0])


@contextmanager
def _ignored_interrupt() -> Iterator[None]:
    """A process that is started inside ignores Ctrl-C from its first instruction on.

    Outside the main thread, where Python sets no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
