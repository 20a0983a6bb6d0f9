"""The driver of one process that proposes and judges its own trials of a study many share."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.interrupts import postponed_interrupt
from hdap.search.driver.ledger import Ledger
from hdap.search.driver.proposer import proposer
from hdap.search.driver.run_search import (
    OnBatch,
    SearchProgress,
    SearchResult,
    Stopped,
    best_mean_ms,
    proposed_trials,
    quiet_optuna,
)
from hdap.search.driver.trial_batches import joined, taken
from hdap.search.driver.worker import worker_seed
from hdap.search.problem.accuracy import BATCH, Judging
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import sampler_kind


def run_shared(
    problem: SearchProblem,
    ledger: Ledger,
    judging: Judging,
    sampler: str = "fleet",
    timeout: float | None = None,
    seed: int = 0,
    before: TrialBatch | None = None,
    on_batch: OnBatch | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    host: int = 0,
) -> SearchResult:
    """Propose, judge and enter trials until the ledger's study is complete; learn from all others.

    Every trial is entered with its accuracy by the process that judged it, and no other judges it.
    As with `run_workers` the trials depend on who was faster. Each trial is entered by
    itself, so a process that dies may leave a part of its batch, but no unfinished trial.

    Args:
        before: trials of the study that `on_batch` need not get any more.
        on_batch: gets every other trial of the study once, also those of other processes. What it
            refused by raising is offered again at the end.

    Raises:
        InputError: `timeout` is out of range.
    """
    if timeout is not None and not timeout > 0.0:
        raise InputError(f"`timeout > 0` must hold, but got {timeout=}")
    stopped: Stopped = "interrupted"
    with quiet_optuna():
        run = _Shared(problem, ledger, judging, before, on_batch)
        run.land()
        run.begin(sampler, worker_seed(seed, host, 0))
        try:
            while (found := run.reason(timeout)) is None:
                run.advance()
                run.land()
                if progress:
                    progress(run.progress)
            stopped = found
        except KeyboardInterrupt:
            pass
        finally:
            run.land()
    return SearchResult(run.trials, {}, stopped, run.scored, run.seconds)


class _Shared:
    """One process of the search, between its proposer and the ledger."""

    def __init__(
        self,
        problem: SearchProblem,
        ledger: Ledger,
        judging: Judging,
        before: TrialBatch | None,
        on_batch: OnBatch | None,
    ) -> None:
        self.problem, self.ledger, self.judging, self.on_batch = problem, ledger, judging, on_batch
        self.kept: list[TrialBatch] = [before] if before is not None and len(before) else []
        self.waiting: list[TrialBatch] = []
        self.heard: list[TrialBatch] = []
        self._own: set[bytes] = set()
        self._evaluated = 0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def scored(self) -> int:
        return self._evaluated + self.source.scored

    @property
    def trials(self) -> TrialBatch | None:
        if not self.kept:
            return None
        every = joined(*self.kept)
        return taken(every, every.number.argsort(kind="stable"))

    @property
    def progress(self) -> SearchProgress:
        best = min((best_mean_ms(b) for b in self.kept), default=np.inf)
        return SearchProgress(self.ledger.done, self.ledger.limit, best, self.seconds, self.scored)

    def begin(self, sampler: str, seed: int) -> None:
        """Start the proposer from what the study has; that is heard of already."""
        kind = sampler_kind(sampler)
        guided = replace(self.problem, guide=self.judging.guide)
        self.source = proposer(guided, kind, seed)
        self.size = min(kind.batch, BATCH)
        self.heard = []
        if self.trials is not None:
            self.source.restore(self.trials, {})
            self.judging.learn(self.trials.counts, self.trials.accuracy, self.source)

    def reason(self, timeout: float | None) -> Stopped | None:
        if self.ledger.done >= self.ledger.limit:
            return "finished"
        return "timeout" if timeout is not None and self.seconds >= timeout else None

    def advance(self) -> None:
        """Hear of the others, then find, judge and enter a batch."""
        for others in self.heard:
            self.source.inject(others)
            self.judging.learn(others.counts, others.accuracy, self.source)
        self.heard = []
        n = min(self.size, self.ledger.limit - self.ledger.done)
        new = proposed_trials(self.problem, self.source, n, 0, self.judging)
        self._own |= {row.tobytes() for row in new.counts}
        self._evaluated += n
        self.ledger.add(new)

    def land(self) -> None:
        """Hand on the trials that are new, whoever found them."""
        with postponed_interrupt():
            new = self.ledger.news()
            if new is not None:
                self._take(new)
            if self.waiting and self.on_batch:
                self.on_batch(joined(*self.waiting), {})
            self.waiting = []

    def _take(self, new: TrialBatch) -> None:
        stored = [batch.number for batch in self.kept]
        new = taken(new, ~np.isin(new.number, np.concatenate(stored) if stored else []))
        if not len(new):
            return
        self.kept.append(new)
        self.waiting.append(new)
        others = taken(new, np.array([r.tobytes() not in self._own for r in new.counts]))
        if len(others):
            self.heard.append(others)
            if others.accuracy is not None:
                self.judging.judge.tell(others.counts, others.accuracy)
