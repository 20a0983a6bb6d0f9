"""One worker process of a study: proposes when it is asked, and never decides what counts."""

import pickle
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.proposal_source import InProcess, trials_of
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.study_sampler import quiet_optuna


@dataclass(frozen=True)
class Job:
    """What all workers need to know at their start.

    `known` are the trials that the study has; `batch` as many as a worker is asked for at a time.
    """

    problem: SearchProblem
    sampler: str
    batch: int
    known: TrialBatch | None


@dataclass(frozen=True)
class Wanted:
    """The next `trials` trials, please; `elsewhere` are good ones that others found."""

    trials: int
    elsewhere: TrialBatch | None


@dataclass(frozen=True)
class FoundTrials:
    """What a worker found (None: nothing new), how many configurations it has asked the surrogates
    about in all, and whether it has no more to propose."""

    trials: TrialBatch | None
    scored: int
    exhausted: bool


@dataclass(frozen=True)
class Failed:
    """Why a worker ends before it was told to."""

    reason: str


def work(connection: Connection, path: Path, seed: int, first: bool) -> None:
    """Answer every `Wanted` with a `FoundTrials` until the other side hangs up.

    `path` holds the pickled `Job`. Uniform pruning is the `first` worker's to propose. Ctrl-C
    reaches all processes of a terminal; start this one where it is ignored.
    """
    try:
        with quiet_optuna():
            job: Job = pickle.loads(path.read_bytes())
            _serve(connection, job, seed, first)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        with suppress(OSError):
            connection.send(Failed(f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from None


def _serve(connection: Connection, job: Job, seed: int, first: bool) -> None:
    source = InProcess(job.problem, job.sampler, seed)
    known = job.known
    if known is None and not first:
        known = trials_of(job.problem, job.problem.uniform[None])
    source.start(known, {}, job.batch)
    while True:
        while not connection.poll() and source.sampler.refine(job.batch):
            pass
        wanted: Wanted = connection.recv()
        if wanted.elsewhere is not None:
            source.hear(wanted.elsewhere)
        found = next(source.advance(wanted.trials), None)
        connection.send(FoundTrials(found, source.scored, source.exhausted))
