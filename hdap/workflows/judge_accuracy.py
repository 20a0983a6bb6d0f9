"""Accuracy in a search: whether what is asked of it fits together, and how it counts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.store import Store
from hdap.requests.search_request import SearchRequest
from hdap.search.problem.accuracy import AccuracyGoal
from hdap.search.problem.learned_accuracy import LEAST_TUNINGS
from hdap.search.problem.objectives import ACCURACY, KEPT, Goals
from hdap.search.problem.proxies import LOGARITHMIC
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.learn_accuracy import evaluator_spec, require_reachable

if TYPE_CHECKING:
    from hdap.workflows.accuracy_evaluator import AccuracyEvaluator


def check_accuracy(request: SearchRequest, goals: Goals) -> None:
    """Raise InputError where what is asked about accuracy does not fit together."""
    names, least = goals.names, request.min_accuracy
    if request.data is None and (least is not None or ACCURACY in names):
        raise InputError("accuracy must be judged on data, but there is none: give --data")
    if least is not None and not 0.0 < least <= 1.0:
        raise InputError(f"`0 < min-accuracy <= 1` must hold, but got {least:g}: 0.6 is 60 %")
    if least is not None and len(names) > 1:
        raise InputError(
            f"a least accuracy needs one objective beside it, but got {request.objective}: "
            f"leave --min-accuracy out for a front"
        )
    if request.learned:
        _check_tunings(request, names)
    elif request.data is not None and least is None and ACCURACY not in names:
        raise InputError(
            f"accuracy must be an objective ({request.objective},{ACCURACY}) or a constraint "
            f"(--min-accuracy 0.6) when --data is given"
        )


def _check_tunings(request: SearchRequest, names: Sequence[str]) -> None:
    if request.tunings < LEAST_TUNINGS:
        raise InputError(
            f"`tunings >= {LEAST_TUNINGS}` must hold, but got {request.tunings}: 30 is usual, 0 "
            f"judges every trial before any tuning"
        )
    if request.proxy not in LOGARITHMIC:
        raise InputError(
            f"accuracy is learned with a proxy of logarithms ({', '.join(LOGARITHMIC)}), but got "
            f"{request.proxy}: leave --proxy out"
        )
    if ACCURACY in names:
        raise InputError(
            f"where accuracy is learned kept importance stands for it, but got "
            f"{request.objective}: give mean,{KEPT} for a front, or --tunings 0"
        )
    if request.floor is not None and request.min_accuracy is not None:
        raise InputError(
            "--floor and --min-accuracy are one constraint where accuracy is learned, but got "
            "both: give one, or --tunings 0"
        )


def load_evaluator(request: SearchRequest, problem: SearchProblem) -> "AccuracyEvaluator | None":
    """The network and the data that accuracy is evaluated on; None where it does not count.

    Raises InputError or NotFoundError where one of them cannot be had.
    """
    return evaluator_spec(request, problem.architecture).made() if request.judged else None


@contextmanager
def accuracy_goal(
    store: Store,
    request: SearchRequest,
    problem: SearchProblem,
    workers: int = 1,
    loaded: "AccuracyEvaluator | None" = None,
) -> Iterator[AccuracyGoal | None]:
    """How accuracy counts in a search, evaluated by so many processes; None where it does not.

    `loaded` is what `load_evaluator` gave before. Raises as it does, and InputError where the least
    accuracy cannot be reached.
    """
    if not request.judged:
        yield None
        return
    # Here, because it loads torch, which most searches do without.
    from hdap.workflows.accuracy_evaluator import evaluator_pool

    with evaluator_pool(
        store, evaluator_spec(request, problem.architecture), workers, loaded
    ) as evaluator:
        require_reachable(request, evaluator.dense)
        yield AccuracyGoal.of(evaluator, problem.importance, request.min_accuracy)
