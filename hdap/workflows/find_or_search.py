"""The best trial at a budget: of a stored study that asks for the same, else of a new search."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.records import StudyRecord
from hdap.networks.prune_plan import PrunePlan, plan_from_trial
from hdap.requests.search_request import IMPORTANCE, SearchRequest, request_of
from hdap.search.driver.run_search import SearchProgress
from hdap.search.problem.accuracy import Judging
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.artifacts import latest_clustering
from hdap.workflows.search_fleet import new_search, run

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


class _Current(Exception):
    """A stored study has the answer already."""

    def __init__(self, study: str) -> None:
        super().__init__(study)
        self.study = study


def best_plan(
    store: "Store", request: SearchRequest, say: Say, progress: Callable[[SearchProgress], None]
) -> PrunePlan:
    """The best trial of the newest finished study that asks for the same, else of a new one.

    A study is current when it rests on the clustering, the surrogates and the importance of now.
    Raises as `new_search`, `InfeasibleError` where no trial is feasible, and KeyboardInterrupt.
    """

    def admit(name: str, problem: SearchProblem, judges: Judging | None) -> None:
        found = _same(store, request, problem)
        if found is not None:
            raise _Current(found)

    try:
        search = new_search(store, request, None, say, admit)
    except _Current as current:
        say(f"study {current.study} is current")
        return plan_from_trial(store, current.study, None)
    result = run(store, search, None, progress)
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return plan_from_trial(store, search.record.name, None)


def _same(store: "Store", request: SearchRequest, problem: SearchProblem) -> str | None:
    """Name of the newest study that has the answer to this request."""
    clustering = latest_clustering(store)
    if clustering is None:
        return None
    # What was left open is stored as it was settled.
    settled = replace(request, step=problem.space.step, floor=problem.floor)
    surrogates = store.surrogates(request.model, clustering.id, request.surrogate)
    fitted = max(surrogate.created_at for surrogate in surrogates)

    def current(record: StudyRecord) -> bool:
        return (
            (record.model, record.state) == (request.model, "finished")
            and record.clustering_id == clustering.id
            and record.created_at >= fitted
            and record.settings[IMPORTANCE] == problem.importance.source
            and request_of(record) == settled
        )

    return next((r.name for r in reversed(store.studies()) if current(r)), None)
