"""Several networks for one deadline, from what a person asks to who runs what, stored."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.records import AssignmentBatch, ClusteringRecord, Ints, StudyRecord
from hdap.fleet_data.store import Store
from hdap.requests.search_request import SearchRequest, request_of
from hdap.search.problem.budget import parse_ms
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.sizes.assignment import Assignment
from hdap.search.sizes.desk import DeskNetwork, desk_networks
from hdap.search.sizes.plan_sizes import Sizes, plan_sizes
from hdap.search.sizes.sizes_problem import SizesProblem
from hdap.workflows.build_problem import prepare_search, stored_problem
from hdap.workflows.fleet_as_asked import device_speeds
from hdap.workflows.search_fleet import store_study


@dataclass(frozen=True)
class SizedFleet:
    """A stored study of several networks: row i of `found.counts` is its trial i.

    `stored` says which device runs which trial, `desk` what one network from one device would do.
    """

    record: StudyRecord
    asked: SizesProblem
    found: Sizes
    desk: tuple[DeskNetwork, ...]
    stored: AssignmentBatch


def search_sizes(
    store: Store,
    request: SearchRequest,
    name: str | None,
    say: Say,
    progress: Callable[[int, int], None],
) -> SizedFleet:
    """Make every stage current, find the networks, and store them and who runs which.

    Raises:
        NotEnoughDataError: nothing, or too little, was measured of the model.
        InfeasibleError: too many devices run no allowed network in time.
        InputError, NotFoundError: a setting is out of range or names what is not there.
    """
    prepared = prepare_search(store, request, say)
    asked = sizes_problem(store, request, prepared.problem, prepared.clustering)
    found = plan_sizes(asked, request.networks or None, request.network_cost, progress)
    desk = desk_networks(asked)
    record = store_study(store, prepared, name).record
    now = _now(len(found.counts))
    trials = asked.networks.evaluate(found.counts).trials(np.arange(len(now)), now, now)
    store.append_trials(record.id, trials, {})
    store.finish_study(record.id, "finished")
    numbers = found.assignment.row
    stored = assignment_batch(asked, found.assignment, numbers, numbers)
    store.save_assignments(record.id, stored)
    return SizedFleet(record, asked, found, desk, stored)


def sizes_problem(
    store: Store, request: SearchRequest, networks: SearchProblem, clustering: ClusteringRecord
) -> SizesProblem:
    """What a request asks of the devices that a clustering knows."""
    return SizesProblem(
        networks,
        device_speeds(store, request, clustering),
        deadline_of(request),
        request.share,
        request.confidence,
        halved=request.min_width is None,
        trials=request.trials,
        seed=request.seed,
    )


def stored_sizes_problem(store: Store, record: StudyRecord) -> SizesProblem:
    """That of a stored study, on the clustering and the surrogates that it rests on."""
    problem, _ = stored_problem(store, record)
    clustering = store.clustering(record.clustering_id)
    return sizes_problem(store, request_of(record), problem, clustering)


def deadline_of(request: SearchRequest) -> float:
    """The deadline in ms. Raises InputError where it is none."""
    return parse_ms(str(request.latency), "a deadline", "20ms")


def assignment_batch(
    asked: SizesProblem, found: Assignment, number: Ints, before: Ints
) -> AssignmentBatch:
    """The devices of `asked` as they are stored: each runs trial `number` (D), and ran `before`."""
    devices = asked.devices
    return AssignmentBatch(
        devices.ids,
        number,
        before,
        devices.cluster,
        np.exp(devices.log_factor),
        devices.log_sd,
        found.latency_ms,
        found.probability,
        found.in_time(asked.confidence),
        _now(len(devices)),
    )


def _now(n: int) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    return np.full(n, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us"))
