"""The driver: Optuna asks and is told, trials go out in batches, nothing found is ever lost."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import Trial, create_trial

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.interrupts import postponed_interrupt
from hdap.search.problem import Evaluation, SearchProblem
from hdap.search.samplers.base import FLOOR, GridSampler, counts_of, distributions, parameters_of
from hdap.search.samplers.registry import SamplerKind, sampler_kind
from hdap.search.trials import batch, joined
from hdap.surrogate.threads import one_blas_thread

FLUSH_SECONDS = 0.5
"""Trials wait no longer than this, plus one scoring call, before they are handed on."""

State = Mapping[str, Any]
OnBatch = Callable[[TrialBatch, State], None]
Stopped = Literal["finished", "timeout", "stopped", "interrupted"]


@dataclass(frozen=True, slots=True)
class Progress:
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
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    resume: ResumeState | None = None,
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

    A `KeyboardInterrupt` ends the search as `should_stop` does: the result holds what was found.

    Raises:
        InputError: `trials`, `timeout` or `sampler` is out of range.
    """
    kind = sampler_kind(sampler)
    if trials < 1 or (timeout is not None and not timeout > 0.0):
        raise InputError(
            f"`trials >= 1` and `timeout > 0` must hold, but got {trials=}, {timeout=}"
        )
    run = _Run(problem, kind, kind.make(problem, seed), resume, on_batch or _ignore)
    stopped: Stopped = "interrupted"
    try:
        with _quiet_optuna():
            run.open()
            while (found := run.reason(trials, timeout, should_stop)) is None:
                run.advance(min(kind.batch, trials - run.done))
                run.flush(FLUSH_SECONDS)
                if progress:
                    progress(Progress(run.done, trials, run.best_ms, run.seconds, run.scored))
            stopped = found
    except KeyboardInterrupt:
        pass
    finally:
        run.flush(0.0)
    return SearchResult(run.trials, run.sampler_state, stopped, run.scored, run.seconds)


class _Run:
    """One search under way: a study in memory, and batches that wait to be handed on."""

    def __init__(
        self,
        problem: SearchProblem,
        kind: SamplerKind,
        sampler: BaseSampler,
        resume: ResumeState | None,
        on_batch: OnBatch,
    ) -> None:
        self.problem, self.kind, self.sampler = problem, kind, sampler
        self.resume, self.on_batch = resume, on_batch
        self.study: Study
        self.sampler_state: State = resume.sampler_state if resume else {}
        self.kept: list[TrialBatch] = [resume.trials] if resume and len(resume.trials) else []
        self.waiting: list[TrialBatch] = []
        self.done = sum(map(len, self.kept))
        self.best_ms = min((_best(b) for b in self.kept), default=np.inf)
        self._evaluated = 0
        self._started = self._flushed = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def scored(self) -> int:
        return self._evaluated + int(getattr(self.sampler, "scored", 0))

    @property
    def trials(self) -> TrialBatch | None:
        return joined(*self.kept) if self.kept else None

    def open(self) -> None:
        self.study = optuna.create_study(sampler=self.sampler)
        if self.resume and self.kept:
            self.study.add_trials(self._finished(self.resume.trials))
            if isinstance(self.sampler, GridSampler):
                self.sampler.restore(self.sampler_state, self.resume.trials.counts)
        elif not isinstance(self.sampler, GridSampler):
            # Every base line starts from uniform pruning too.
            self.study.enqueue_trial(parameters_of(self.problem.space, self.problem.uniform))

    def reason(
        self, trials: int, timeout: float | None, should_stop: Callable[[], bool] | None
    ) -> Stopped | None:
        if self.done >= trials:
            return "finished"
        if timeout is not None and self.seconds >= timeout:
            return "timeout"
        return "stopped" if should_stop and should_stop() else None

    def advance(self, n: int) -> None:
        """Ask for n trials, score them in one call, tell them; all of them count or none does."""
        started = _now()
        space = distributions(self.problem.space)
        asked = [self.study.ask(space) for _ in range(n)]
        wanted = np.stack([counts_of(self.problem.space, t.params) for t in asked])
        with one_blas_thread():
            found = self.problem.evaluate(self._in_band(wanted))
        self._tell(asked, found)
        numbers = np.arange(self.done, self.done + n)
        new = batch(found, numbers, np.full(n, started), np.full(n, _now()))
        state = self.sampler.state() if isinstance(self.sampler, GridSampler) else {}
        # From here on the batch counts; nothing in between can be interrupted half-way.
        self.kept, self.waiting = [*self.kept, new], [*self.waiting, new]
        self.sampler_state, self.done = state, self.done + n
        self._evaluated += n
        self.best_ms = min(self.best_ms, _best(new))

    def flush(self, patience: float) -> None:
        """Hand on what waits, if the last time is at least `patience` seconds ago."""
        if not self.waiting or time.monotonic() - self._flushed < patience:
            return
        with postponed_interrupt():
            self.on_batch(joined(*self.waiting), self.sampler_state)
            self.waiting = []
            self._flushed = time.monotonic()

    def _in_band(self, wanted: Counts) -> Counts:
        return wanted if isinstance(self.sampler, GridSampler) else self.problem.repair(wanted)

    def _tell(self, asked: list[Trial], found: Evaluation) -> None:
        values = found.scores.value if self.kind.constrained else found.scores.penalised
        for trial, value, violation in zip(asked, values, found.scores.violation, strict=True):
            if self.kind.constrained:
                trial.set_constraint(FLOOR, float(violation))
            self.study.tell(trial, float(value))

    def _finished(self, trials: TrialBatch) -> list[optuna.trial.FrozenTrial]:
        space = self.problem.space
        scores = self.problem.scores(trials.counts)
        values = scores.value if self.kind.constrained else scores.penalised
        return [
            create_trial(
                value=float(value),
                params=parameters_of(space, counts),
                distributions=distributions(space),
                constraints={FLOOR: float(violation)},
            )
            for counts, value, violation in zip(
                trials.counts, values, scores.violation, strict=True
            )
        ]


def _best(trials: TrialBatch) -> float:
    values = trials.fleet_mean_ms[trials.feasible]
    return float(values.min()) if len(values) else np.inf


def _now() -> np.datetime64:
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")


def _ignore(_: TrialBatch, __: State) -> None:
    pass


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna announces studies on stderr; here a progress bar does."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
