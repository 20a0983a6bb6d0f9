"""Is today's network still the one to ship when the fleet is another?"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.records import Floats
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import latency, percent
from hdap.requests.search_request import SearchRequest
from hdap.search.analysis.answer import Answer
from hdap.search.analysis.promised_gain import PromisedGain, promised_gain
from hdap.search.driver.proposal_source import trials_of
from hdap.search.driver.run_search import ResumeState, SearchProgress
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.answer_search import answer_of
from hdap.workflows.search_fleet import Search, find_or_run

MATERIAL = 0.01
"""A gain below 1 % is no reason to ship another network."""


@dataclass(frozen=True)
class TodaysAnswer:
    """The network for the fleet as it is, from the study `name`."""

    name: str
    trial: int
    problem: SearchProblem
    counts: Counts


@dataclass(frozen=True)
class FleetsCompared:
    """Today's answer and that for the fleet as it will be, each on both fleets.

    `today_ms` and `then_ms` (2 each: of today's network, of the new one) are what is minimised on
    the fleet as it is and as it will be; `flops` and `kept` (2) are the networks' own. `gain` is
    the new network over today's on the fleet as it will be; `allowed` whether today's keeps what
    is asked there.
    """

    today: TodaysAnswer
    fleet_as: str
    title: str
    today_ms: Floats
    then_ms: Floats
    flops: Floats
    kept: Floats
    gain: PromisedGain
    allowed: bool

    @property
    def stays(self) -> bool:
        """Whether today's network is still the one to ship."""
        worth = self.gain.promised - 1.0 > max(MATERIAL, self.gain.doubt)
        return self.allowed and not worth

    @property
    def words(self) -> str:
        """The answer, in a sentence."""
        slower = self.then_ms[0] / self.then_ms[1] - 1.0
        apart = f"{percent(abs(slower))} {'slower' if slower >= 0 else 'faster'}"
        told = (
            f"with {self.fleet_as} today's network takes {latency(self.then_ms[0])}, {apart} than "
            f"the one found for that fleet (predicted, doubt {percent(self.gain.doubt)})"
        )
        if not self.allowed:
            return f"{told}, and does not keep what is asked there: ship the new one"
        if self.stays:
            return f"{told}: it is still the network to ship"
        return f"{told}: ship the new one with the roll-out"


def todays_answer(
    store: Store, request: SearchRequest, say: Say, progress: Callable[[SearchProgress], None]
) -> TodaysAnswer:
    """The same question asked of the fleet as it is; a finished study that answers it is reused."""
    search, result = find_or_run(store, replace(request, fleet_as=None), say, progress)
    found = answer_of(search, result)
    number = int(found.numbers[0])
    return TodaysAnswer(search.record.name, number, search.problem, found.found.counts)


def starting_from(store: Store, search: Search, today: TodaysAnswer) -> Search:
    """A new search that begins with today's network, so that its answer is no worse."""
    first = trials_of(search.problem, today.counts[None])
    store.append_trials(search.record.id, first, {})
    return replace(search, before=ResumeState(first, {}))


def compare_fleets(today: TodaysAnswer, search: Search, found: Answer) -> FleetsCompared:
    """Both networks on both fleets; `search` is of the fleet as it will be."""
    then = search.problem
    both = np.stack([today.counts, found.found.counts])
    ms = then.latency.predict(both).ms
    first = then.goals.first
    now, later = (np.asarray(first.of(p.fleet, ms)) for p in (today.problem, then))
    seen = then.evaluate(both)
    return FleetsCompared(
        today=today,
        fleet_as=str(search.request.fleet_as),
        title=first.title,
        today_ms=now,
        then_ms=later,
        flops=np.asarray(seen.flops, dtype=np.float64),
        kept=seen.kept_importance,
        gain=promised_gain(then, both[1], both[0]),
        allowed=bool(seen.feasible[0]),
    )
