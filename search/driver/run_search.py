"""The driver of one process: a sampler proposes, trials go out in batches, none is ever lost."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import optuna

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.interrupts import postponed_interrupt
from hdap.search.driver.proposer import Proposer, proposer
from hdap.search.driver.trial_batches import batch, joined
from hdap.search.problem.accuracy import BATCH, Judging
from hdap.search.problem.accuracy_objective import judged
from hdap.search.problem.evaluation import Evaluation
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import sampler_kind
from hdap.surrogate.learning.blas_threads import one_blas_thread

FLUSH_SECONDS = 0.5
"""Trials wait no longer than this, plus one scoring call, before they are handed on."""

State = Mapping[str, Any]
OnBatch = Callable[[TrialBatch, State], None]
Stopped = Literal["finished", "timeout", "settled", "stopped", "interrupted"]


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
    """What a search found. `trials` are all of the study, those before a resume included.

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
    judging: Judging | None = None,
) -> SearchResult:
    """Search until the study has `trials` trials, `timeout` seconds passed or someone stops it.

    Args:
        on_batch: gets every new trial once, in order, at least every second, with the sampler's
            state after them; a batch that it refused by raising is offered again at the end.
            Ctrl-C waits until it returns.
        progress: called after every batch that was scored.
        should_stop: asked before every batch.
        resume: goes on where a study was left. With `fleet` and `ncs` and the same seed the trials
            are those of a study that never stopped; Optuna's samplers do not give their
            generator's state away, so they go on from the same trials with a fresh generator.
        judging: judges the accuracy of every trial that is feasible without it.
        patience: the search has settled when so many trials in a row brought nothing better.

    A `KeyboardInterrupt` ends the search as `should_stop` does: the result holds what was found.

    Raises:
        InputError: `trials`, `timeout`, `patience` or `sampler` is out of range.
    """
    kind = sampler_kind(sampler)
    if trials < 1 or (timeout is not None and not timeout > 0.0):
        raise InputError(
            f"`trials >= 1` and `timeout > 0` must hold, but got {trials=}, {timeout=}"
        )
    if patience is not None and (patience < 1 or problem.goals.several):
        raise InputError(
            f"`patience >= 1` must hold, and one objective only, but got {patience=} and "
            f"objective={problem.objective!r}"
        )
    stopped: Stopped = "interrupted"
    with quiet_optuna():
        guided = problem if judging is None else replace(problem, guide=judging.guide)
        run = _Run(problem, proposer(guided, kind, seed), resume, on_batch or _ignore, judging)
        size = kind.batch if judging is None else min(kind.batch, BATCH)
        try:
            while (found := run.reason(trials, timeout, patience, should_stop)) is None:
                run.advance(min(size, trials - run.done))
                run.flush(FLUSH_SECONDS)
                if progress:
                    progress(SearchProgress(run.done, trials, run.best_ms, run.seconds, run.scored))
            stopped = found
        except KeyboardInterrupt:
            pass
        finally:
            run.flush(0.0)
    return SearchResult(run.trials, run.sampler_state, stopped, run.scored, run.seconds)


class _Run:
    """One search under way, and batches that wait to be handed on."""

    def __init__(
        self,
        problem: SearchProblem,
        source: Proposer,
        resume: ResumeState | None,
        on_batch: OnBatch,
        judging: Judging | None = None,
    ) -> None:
        self.judging = judging
        self.problem, self.source, self.on_batch = problem, source, on_batch
        self.sampler_state: State = resume.sampler_state if resume else {}
        self.kept: list[TrialBatch] = [resume.trials] if resume and len(resume.trials) else []
        self.waiting: list[TrialBatch] = []
        self.done = sum(map(len, self.kept))
        self.best_ms = min((best_mean_ms(b) for b in self.kept), default=np.inf)
        self.idle, self._least = 0, np.inf
        for earlier in self.kept:
            self._count_idle(earlier)
        self._evaluated = 0
        self._started = self._flushed = time.monotonic()
        if self.kept:
            source.restore(self.kept[0], self.sampler_state)
            if judging:
                judging.learn(self.kept[0].counts, self.kept[0].accuracy, source)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def scored(self) -> int:
        return self._evaluated + self.source.scored

    @property
    def trials(self) -> TrialBatch | None:
        return joined(*self.kept) if self.kept else None

    def reason(
        self,
        trials: int,
        timeout: float | None,
        patience: int | None,
        should_stop: Callable[[], bool] | None,
    ) -> Stopped | None:
        if self.done >= trials:
            return "finished"
        if timeout is not None and self.seconds >= timeout:
            return "timeout"
        if patience is not None and self.idle >= patience:
            return "settled"
        return "stopped" if should_stop and should_stop() else None

    def advance(self, n: int) -> None:
        """Get n proposals, score them in one call, tell them; all of them count or none does."""
        new = proposed_trials(self.problem, self.source, n, self.done, self.judging)
        state = self.source.state()
        # From here on the batch counts; nothing in between can be interrupted half-way.
        self.kept, self.waiting = [*self.kept, new], [*self.waiting, new]
        self.sampler_state, self.done = state, self.done + n
        self._evaluated += n
        self.best_ms = min(self.best_ms, best_mean_ms(new))
        self._count_idle(new)

    def _count_idle(self, new: TrialBatch) -> None:
        """Count the trials since the last one that was better than all before."""
        values = np.where(new.feasible, new.ranking, np.inf)
        before = np.minimum.accumulate(np.concatenate([[self._least], values]))
        gains = np.flatnonzero(values < before[:-1])
        self._least = float(before[-1])
        self.idle = len(new) - 1 - int(gains[-1]) if len(gains) else self.idle + len(new)

    def flush(self, patience: float) -> None:
        """Hand on what waits, if the last time is at least `patience` seconds ago."""
        if not self.waiting or time.monotonic() - self._flushed < patience:
            return
        with postponed_interrupt():
            self.on_batch(joined(*self.waiting), self.sampler_state)
            self.waiting = []
            self._flushed = time.monotonic()


def proposed_trials(
    problem: SearchProblem, source: Proposer, n: int, first: int, judging: Judging | None = None
) -> TrialBatch:
    """The next n proposals, evaluated and told, as trials `first`, `first + 1`, ..."""
    started = _now()
    if judging:
        judging.refine(source, n)
    found = _evaluated(problem, source.propose(n))
    if judging:
        found = judged(problem, found, judging)
    source.tell(found.scores)
    if judging:
        judging.learn(found.counts, found.accuracy, source)
    return _numbered(found, first, started)


def trials_of(problem: SearchProblem, counts: Counts) -> TrialBatch:
    """Configurations (`n x groups`), evaluated, as trials 0, 1, ..."""
    started = _now()
    return _numbered(_evaluated(problem, counts), 0, started)


def _evaluated(problem: SearchProblem, counts: Counts) -> Evaluation:
    with one_blas_thread():
        return problem.evaluate(counts)


def _numbered(found: Evaluation, first: int, started: np.datetime64) -> TrialBatch:
    n = len(found.counts)
    return batch(found, np.arange(first, first + n), np.full(n, started), np.full(n, _now()))


def best_mean_ms(trials: TrialBatch) -> float:
    """The least predicted fleet mean of a feasible trial; infinite where there is none."""
    values = trials.fleet_mean_ms[trials.feasible]
    return float(values.min()) if len(values) else np.inf


def _now() -> np.datetime64:
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")


def _ignore(_: TrialBatch, __: State) -> None:
    pass


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna announces studies on stderr; here a progress bar does."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
