"""Accuracy in a search: whether what is asked fits together, and who judges it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hdap.fleet_data.errors import InputError
from hdap.requests.search_request import SearchRequest
from hdap.search.problem.accuracy import Judging
from hdap.search.problem.objectives import ACCURACY, parse_goals
from hdap.search.problem.search_problem import SearchProblem

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


@contextmanager
def accuracy_judge(
    store: "Store", request: SearchRequest, problem: SearchProblem, workers: int
) -> Iterator[Judging | None]:
    """Who judges accuracy in a search, with so many processes; None where nobody does.

    Raises InputError or NotFoundError where the network or the data cannot be had, or the least
    accuracy cannot be reached.
    """
    if request.data is None:
        yield None
        return
    from hdap.workflows.accuracy_evaluator import EvaluatorSpec, evaluator_pool

    weights = Path(request.weights) if request.weights else None
    architecture = problem.architecture
    order = EvaluatorSpec(architecture, request.data, weights, request.pretrained, request.seed)
    with evaluator_pool(store, order, workers) as judge:
        least = request.min_accuracy
        if least is not None and least > judge.dense:
            raise InputError(
                f"`--min-accuracy` must be at most what the dense network has before any tuning, "
                f"{judge.dense:.3f}, but got {least:g}: lower it, or give better weights"
            )
        yield Judging.of(judge, problem.importance, least)


def check_accuracy(request: SearchRequest) -> None:
    """Raise InputError where what is asked about accuracy does not fit together."""
    names, least = parse_goals(request.objective).names, request.min_accuracy
    if request.data is None and (least is not None or ACCURACY in names):
        raise InputError("accuracy must be judged on data, but there is none: give --data")
    if least is not None and not 0.0 < least <= 1.0:
        raise InputError(f"`0 < min-accuracy <= 1` must hold, but got {least:g}: 0.6 is 60 %")
    if least is not None and len(names) > 1:
        raise InputError(
            f"a least accuracy needs one objective beside it, but got {request.objective}: "
            f"leave --min-accuracy out for a front"
        )
    if request.data is not None and least is None and ACCURACY not in names:
        raise InputError(
            f"accuracy must be an objective ({request.objective},{ACCURACY}) or a constraint "
            f"(--min-accuracy 0.6) when --data is given"
        )
