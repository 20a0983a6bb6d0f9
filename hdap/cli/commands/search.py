"""`hdap search`: the configuration to ship."""

from dataclasses import asdict, replace

import typer

from hdap.cli.settings.search_commands import SearchCommand
from hdap.cli.tables import answer_table as answer
from hdap.cli.tables.answer_document import ToldAnswer, accuracy_of, document
from hdap.cli.tables.sizes_table import show_sizes, sizes_document
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, progress_bar, say, warn
from hdap.fleet_data.model_names import with_input
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import latency
from hdap.requests.search_request import SearchRequest, settled
from hdap.requests.setting import settings_of
from hdap.search.analysis.answer import Answer
from hdap.search.driver.run_search import SearchProgress, SearchResult
from hdap.search.problem.fleet_shares import parse_shares
from hdap.workflows import search_fleet
from hdap.workflows.answer_search import certified, summarize_search, worth_of_sizes
from hdap.workflows.compare_fleets import (
    TodaysAnswer,
    compare_fleets,
    starting_from,
    todays_answer,
)
from hdap.workflows.compare_networks import ClusterAssignment, compare_networks
from hdap.workflows.precision_arms import predicted_arms
from hdap.workflows.search_fleet import (
    Search,
    new_search,
    resumed_search,
)
from hdap.workflows.search_sizes import search_sizes


def run(asked: SearchCommand) -> None:
    """Search, or go on with a study, and print the answer."""
    if "patience" in asked.given and (asked.workers > 1 or asked.storage is not None):
        raise typer.BadParameter(
            "only where one process searches, without --workers and --storage",
            param_hint="--patience",
        )
    request = None if asked.resume is not None else _complete(asked)
    with open_store(asked.db, create=False) as store:
        if request is not None and request.networks is not None:
            _sizes(store, request, asked)
            return
        today = None
        if request is not None and request.fleet_as is not None:
            today, request = _today(store, request)
        if request is None:
            search = resumed_search(store, str(asked.resume), asked.given.get("trials"), say)
            _tell_unused(search.request, search.record.name, asked)
        else:
            search = new_search(store, request, asked.study, say, asked.storage, asked.workers)
            if today is not None and asked.storage is None:
                search = starting_from(store, search, today)
        _run(store, search, asked, today)


def _tell_unused(request: SearchRequest, study: str, asked: SearchCommand) -> None:
    """A study goes on as it was asked; what is asked otherwise now is not used, and said so.

    Of floor and step it keeps what they came to.
    """
    stored, given = asdict(request), dict(asked.given)
    given.pop("floor_share", None)
    if "model" in given:
        given["model"] = with_input(given["model"], asked.input)
    if not given.get("step"):
        given.pop("step", None)
    other = [
        f"--{leaf.flag}"
        for leaf in settings_of(SearchRequest)
        if leaf.name in given and given[leaf.name] != stored[leaf.name]
    ]
    if other:
        told = ", ".join(other)
        warn(
            f"study {study} goes on as it was asked, {told} of now is not used: search anew for it"
        )


def _complete(asked: SearchCommand) -> SearchRequest:
    """What a new study needs, with what was left open filled in."""
    request = asked.request
    if request is None:
        raise typer.BadParameter("give --model, or --resume STUDY", param_hint="--model")
    request = replace(request, model=with_input(request.model, asked.input))
    request = settled(request, asked.given)
    goals = request.objective.split(",")
    if request.flops is None and request.latency is None and "flops" not in goals:
        raise typer.BadParameter("give --flops, or --resume STUDY", param_hint="--flops")
    return request


def _today(store: Store, request: SearchRequest) -> tuple[TodaysAnswer | None, SearchRequest]:
    """Today's answer, and the request with the floor that both must keep; no answer where a front
    is asked for, or what was learned from tuning."""
    parse_shares(str(request.fleet_as))  # what is wrong is said before anything runs
    if "," in request.objective or request.data is not None:
        say("a front, or learned accuracy, is found for the fleet as it will be alone")
        return None, request
    with progress_bar("searching for the fleet as it is") as bar:
        today = todays_answer(
            store, request, say, lambda p: bar(p.done, p.trials, f"{latency(p.best_ms)}")
        )
    floor = today.problem.floor if request.floor is None else request.floor
    return today, request.with_floor(floor, request.step)


def _sizes(store: Store, request: SearchRequest, asked: SearchCommand) -> None:
    for flag, given in (("--storage", asked.storage), ("--timeout", asked.timeout)):
        if given is not None:
            raise typer.BadParameter("not where several --networks are found", param_hint=flag)
    with progress_bar("one network, or several") as bar:
        found = search_sizes(
            store, request, asked.study, say, lambda done, of: bar(done, of, "networks")
        )
    if asked.as_json:
        emit_json(sizes_document(found))
    else:
        show_sizes(found)


def _run(
    store: Store, search: Search, asked: SearchCommand, today: TodaysAnswer | None = None
) -> None:
    if not asked.as_json:
        answer.show_profile(search)
    with progress_bar("searching") as bar:

        def show(p: SearchProgress) -> None:
            bar(p.done, p.trials, f"best so far {latency(p.best_ms)} (predicted)")

        result = search_fleet.run(
            store, search, asked.timeout, show, asked.workers, asked.storage, say
        )
    found, worth = summarize_search(search, result)
    told = ToldAnswer(
        search,
        result,
        found,
        worth,
        sizes=worth_of_sizes(store, search, found),
        compared=_compared(store, search, result, found),
        above_best=certified(search, found),
        precisions=predicted_arms(
            store, search.clustering, search.problem, search.dense_ms, found, search.lesson
        ),
        fleets=None if today is None else compare_fleets(today, search, found),
    )
    if asked.as_json:
        emit_json(document(told) | accuracy_of(search, result, found))
    else:
        answer.show_accuracy(search, result, found)
        answer.show(told)
    if result.stopped == "interrupted":
        raise typer.Exit(130)


def _compared(
    store: Store, search: Search, result: SearchResult, found: Answer
) -> ClusterAssignment | None:
    """With `--per-cluster` the networks that parts of the fleet would get."""
    if not search.request.per_cluster or result.trials is None:
        return None
    with progress_bar("one network, or several") as bar:
        return compare_networks(
            store, search, result, found.found.counts, lambda done, of: bar(done, of, "")
        )
