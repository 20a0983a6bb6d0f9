"""The driver of a search: trials of any source are numbered, handed on in batches, never lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Literal

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.ledger import Ledger, LocalLedger
from hdap.search.driver.proposal_source import InProcess, ProposalSource, State
from hdap.search.problem.accuracy import AccuracyGoal
from hdap.search.problem.evaluation import joined
from hdap.search.problem.objectives import Goals
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.study_sampler import quiet_optuna

FLUSH_SECONDS = 0.5
"""Trials wait no longer than this, plus one scoring call, before they are handed on."""

OnBatch = Callable[[TrialBatch, State], None]
Stopped = Literal["finished", "exhausted", "timeout", "settled", "stopped", "interrupted"]
"""Why a search ended; `exhausted`: nothing was left that the study did not have."""


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search is: trials of all, the best feasible trial's predicted fleet mean (infinite
    while there is none), seconds and configurations that the surrogates were asked about."""

    done: int
    trials: int
    best_ms: float
    seconds: float
    scored: int


@dataclass(frozen=True, slots=True)
class ResumeState:
    """Where a study was left: all its trials in order, and the sampler's state after them."""

    trials: TrialBatch
    sampler_state: State = field(default_factory=dict)


@dataclass(frozen=True)
class SearchResult:
    """What a search found. `trials` are all of the study by number, earlier ones included.

    `scored` counts the configurations that the surrogates were asked about in this run, `seconds`
    how long it took. No trials at all is possible after an early stop: `trials` is None then.
    """

    trials: TrialBatch | None
    sampler_state: State
    stopped: Stopped
    scored: int
    seconds: float


def run_search(
    problem: SearchProblem,
    sampler: str = "fleet",
    trials: int = 2000,
    timeout: float | None = None,
    seed: int = 0,
    on_batch: OnBatch | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    resume: ResumeState | None = None,
    patience: int | None = None,
    accuracy: AccuracyGoal | None = None,
) -> SearchResult:
    """`drive` a study of `trials` trials that this process alone searches.

    Args:
        resume: goes on where a study was left. With samplers of ours and the same seed the trials
            are those of a study that never stopped; Optuna's samplers do not give their
            generator's state away, so they go on from the same trials with a fresh generator.
        accuracy: is evaluated of every trial that is feasible without it.

    Raises:
        InputError: `trials`, `timeout`, `patience` or `sampler` is out of range.
    """
    return drive(
        InProcess(problem, sampler, seed, accuracy),
        LocalLedger(trials, resume.trials if resume else None),
        state=resume.sampler_state if resume else {},
        timeout=timeout,
        patience=patience,
        on_batch=on_batch,
        progress=progress,
        should_stop=should_stop,
    )


def check_patience(patience: int | None, goals: Goals) -> None:
    """Raises InputError where it cannot be said that a search of these goals has settled."""
    if patience is not None and (patience < 1 or goals.several):
        raise InputError(
            f"`patience >= 1` must hold, and one objective only, but got {patience=} and "
            f"objective={goals.text!r}"
        )


def drive(
    source: ProposalSource,
    ledger: Ledger,
    *,
    state: State | None = None,
    timeout: float | None = None,
    patience: int | None = None,
    on_batch: OnBatch | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SearchResult:
    """Search until the ledger's study is complete, nothing new is left, `timeout` seconds passed or
    someone stops it.

    Args:
        state: the sampler's after the trials that the ledger began with.
        patience: the search has settled when so many trials in a row brought nothing better.
        on_batch: gets every trial of the study that the ledger did not begin with once, whoever
            found it, at least every second, with the sampler's state after them; a batch that it
            refused by raising is offered again at the end. Ctrl-C waits until it returns.
        progress: called after every batch that was scored.
        should_stop: asked before every batch.

    A `KeyboardInterrupt` ends the search as `should_stop` does: the result holds what was found.

    Raises:
        InputError: the ledger's limit, `timeout` or `patience` is out of range.
        HdapError: whatever `source` raises.
    """
    if ledger.limit < 1 or (timeout is not None and not timeout > 0.0):
        raise InputError(
            f"`trials >= 1` and `timeout > 0` must hold, but got trials={ledger.limit}, {timeout=}"
        )
    check_patience(patience, source.problem.goals)
    search = _Search(source, ledger, state or {}, on_batch)
    stopped: Stopped = "interrupted"
    with quiet_optuna():
        try:
            search.hand_on(0.0)
            if not search.over(timeout):
                source.start(search.trials, search.state, ledger.at_once)
            while (found := search.reason(timeout, patience, should_stop)) is None:
                search.advance(timeout)
                if progress:
                    progress(search.progress)
            stopped = found
        except KeyboardInterrupt:
            pass
        finally:
            source.stop()
            search.hand_on(0.0)
    seconds = search.progress.seconds
    return SearchResult(search.trials, search.state, stopped, source.scored, seconds)


class _Search:
    """One search under way: what is known of its study, and trials that wait to be handed on."""

    def __init__(
        self, source: ProposalSource, ledger: Ledger, state: State, on_batch: OnBatch | None
    ) -> None:
        self.source, self.ledger, self.on_batch = source, ledger, on_batch
        self.state = state
        self._kept: list[TrialBatch] = []
        self._waiting: list[TrialBatch] = []
        self._best_ms = self._least = np.inf
        self._idle = 0
        self._started = self._handed_on = time.monotonic()
        if ledger.before is not None and len(ledger.before):
            self._note(ledger.before)

    @property
    def trials(self) -> TrialBatch | None:
        """All trials of the study, by number."""
        if not self._kept:
            return None
        every = joined(*self._kept)
        return every.take(every.number.argsort(kind="stable"))

    @property
    def progress(self) -> SearchProgress:
        seconds, ledger = time.monotonic() - self._started, self.ledger
        return SearchProgress(ledger.done, ledger.limit, self._best_ms, seconds, self.source.scored)

    def over(self, timeout: float | None) -> Literal["finished", "timeout"] | None:
        if self.ledger.done >= self.ledger.limit:
            return "finished"
        late = timeout is not None and self.progress.seconds >= timeout
        return "timeout" if late else None

    def reason(
        self,
        timeout: float | None,
        patience: int | None,
        should_stop: Callable[[], bool] | None,
    ) -> Stopped | None:
        if over := self.over(timeout):
            return over
        if patience is not None and self._idle >= patience:
            return "settled"
        if self.source.exhausted:
            return "exhausted"
        return "stopped" if should_stop and should_stop() else None

    def advance(self, timeout: float | None) -> None:
        """Enter what the source has found; a batch counts as a whole or not at all."""
        for found in self.source.advance(self.ledger.limit - self.ledger.done):
            state = {} if self.ledger.shared else self.source.state()
            with deferred_interrupt():
                self.ledger.add(found)
                self.state = state
                if not self.ledger.shared:  # to read others' trials takes longer
                    self._hear()
            self.hand_on(FLUSH_SECONDS)
            if self.over(timeout):
                return
        self.hand_on(FLUSH_SECONDS)

    def hand_on(self, seconds: float) -> None:
        """Hand on the trials that are new, if the last time is at least so long ago."""
        if time.monotonic() - self._handed_on < seconds:
            return
        with deferred_interrupt():
            self._hear()
            if self._waiting and self.on_batch:
                self.on_batch(joined(*self._waiting), self.state)
            self._waiting = []
            self._handed_on = time.monotonic()

    def _hear(self) -> None:
        new = self.ledger.news()
        if new is not None:
            self._waiting.append(new)
            self._note(new)
            self.source.hear(new)

    def _note(self, new: TrialBatch) -> None:
        """Keep trials, and count those since the last one that was better than all before."""
        self._kept.append(new)
        self._best_ms = min(self._best_ms, best_mean_ms(new))
        values = np.where(new.feasible, new.ranking, np.inf)
        before = np.minimum.accumulate(np.concatenate([[self._least], values]))
        gains = np.flatnonzero(values < before[:-1])
        self._least = float(before[-1])
        self._idle = len(new) - 1 - int(gains[-1]) if len(gains) else self._idle + len(new)


def best_mean_ms(trials: TrialBatch) -> float:
    """The least predicted fleet mean of a feasible trial; infinite where there is none."""
    return float(trials.fleet_mean_ms[trials.feasible].min(initial=np.inf))


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Ctrl-C inside takes effect at the end; a second one at once.

    Outside the main thread, where Python delivers no signals, this does nothing.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            previous(number, frame)
        caught.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if caught:
        previous(caught[0], None)
