"""How the profile and the answer of a search are printed."""

from rich.markup import escape

from hdap.cli.tables.answer_document import ToldAnswer, accuracy_of, all_scored, learned_document
from hdap.cli.tables.arms_table import show_arms
from hdap.cli.tables.fleets_table import show_fleets
from hdap.cli.tables.front_table import ROWS, show_front
from hdap.cli.tables.networks_table import show_networks
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import line, note, out, show_rows, verbose
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import (
    amount,
    counted,
    kept,
    latency,
    percent,
    seconds,
    times,
)
from hdap.requests.search_request import SUSTAINED_STATE
from hdap.search.analysis.answer import Answer, AnswerRow
from hdap.search.driver.run_search import SearchResult
from hdap.search.problem.objectives import OBJECTIVES, Objective
from hdap.workflows.learn_accuracy import AccuracyLesson
from hdap.workflows.next_commands import command_line, free_name, plan_command, sizes_command
from hdap.workflows.search_fleet import Search
from hdap.workflows.text_cells import Column, answer_columns

BAR = 32


def show_profile(search: Search) -> None:
    """What a person can check before waiting."""
    found, problem = search.profile, search.problem
    show_rows(
        found.rows,
        ("before searching", "left", lambda row: row.name),
        ("FLOPs", "right", lambda row: format_flops(row.flops)),
        ("parameters", "right", lambda row: amount(row.parameters)),
    )
    fixed = f", {found.fixed} of them fixed" if found.fixed else ""
    limit = "" if problem.limit_ms is None else f"{_limit(search)} at "
    few = found.configurations
    many = f"about 10^{found.log10_size:.0f} configurations; " if few is None else ""
    met = "can be met" if few is None else f"is met by {counted(few, 'configuration')}"
    note(
        f"{counted(found.groups, 'width group')}{fixed} in steps of {found.step}: {many}budget "
        f"{limit}{format_flops(found.band.low)} to {format_flops(found.band.high)} FLOPs "
        + (met if found.reachable else "")
    )


def show(told: ToldAnswer) -> None:
    """The answer as a person reads it."""
    search, found = told.search, told.found
    if found.front:
        out().print()
        goals = search.problem.goals
        show_front(goals, found.front, f"Pareto front of {goals.text}", ROWS)
    if verbose():
        _bars(search, found.found)
    _effort(search, told.result)
    if told.above_best is not None and not all_scored(search, told.result):
        line(
            f"within {percent(told.above_best)} of the best possible for these surrogates: no "
            f"allowed configuration is predicted faster by more (a lower bound, doubt included)"
        )
    line(f"shapes: {told.worth.words}")
    if told.sizes is not None:
        line(f"sizes: {told.sizes.words}")
    if told.compared is not None:
        show_networks(told.compared)
    if told.precisions:
        out().print()
    show_arms(told.precisions)
    # the answer comes last: it is what a screen of 24 lines ends with
    _table(search, found)
    _gist(search, found)
    _worth_measuring(search, found)
    if told.fleets is not None:
        show_fleets(told.fleets)
    name = search.record.name
    trial = int(found.numbers[0])
    this = ("--study", name, "--trial", trial)
    larger = []
    if told.sizes is not None and told.sizes.worthwhile:
        step = search.request.step
        larger.append(sizes_command(search.record.model, told.sizes.deadline_ms, step))
    next_steps(
        *larger,
        command_line("trials", "--study", name, "--pareto"),
        plan_command(search.record.model, name),
        command_line("verify", *this, "--out", free_name("proof")),
        command_line("prune", *this, "--out", free_name("pruned")),
    )


def _table(search: Search, found: Answer) -> None:
    out().print()
    show_rows(
        found.rows,
        *answer_columns(found, *_objective(search.problem.goals.first)),
        title=f"{search.record.model} {_asked(search)}, predicted unless it says measured",
        optional=("parameters", "p95 of devices", "worst cluster", "90 % interval"),
    )


def _objective(first: Objective) -> list[Column]:
    """What is minimised, where the table has no column of its own for that."""
    if first in OBJECTIVES.values():
        return []
    if first.unit == "ms":
        return [(first.title, "right", lambda x: latency(x.objective))]
    return [(first.title, "right", lambda x: percent(x.objective))]


def _gist(search: Search, found: Answer) -> None:
    line(
        f"[bold]{'balanced' if found.front else 'found'}[/bold] (trial {int(found.numbers[0])}): "
        f"{escape(_gained(search, found))} ({escape(_kept_by(search))})",
        markup=True,
    )


def _effort(search: Search, result: SearchResult) -> None:
    done = 0 if result.trials is None else len(result.trials)
    rate = result.scored / max(result.seconds, 1e-9)
    note(
        f"{counted(done, 'trial')} in study {search.record.name}; {result.scored:,} configurations "
        f"scored in {seconds(result.seconds)} ({rate:,.0f} a second); {result.stopped}"
    )
    if all_scored(search, result):
        few = search.profile.configurations or 0
        said = f"all {few:,} configurations" if few > 1 else "the only configuration"
        line(f"{said} within the budget {'were' if few > 1 else 'was'} scored: none is better")


def _gained(search: Search, found: Answer) -> str:
    """What was won over uniform pruning, in terms of what was asked."""
    best, uniform, problem = found.found, found.uniform, search.problem
    first = problem.goals.first
    dense = f"{times(best.over_dense)} faster than dense"
    more = f"{kept(best.kept_importance)} of importance where the best uniform network"
    at = f"keeps {more} keeps {kept(uniform.kept_importance)}"
    if best.kept_importance >= uniform.kept_importance:
        at = "at no less kept importance"
    if problem.limit_ms is not None:
        return (
            f"{first.title} predicted at {latency(best.objective)}, doubt included within "
            f"{problem.limit_ms:g} ms; keeps {more} within the same latency keeps "
            f"{kept(uniform.kept_importance)}; {dense}"
        )
    if problem.goals.several:
        return (
            f"promised {times(found.gain.promised)} faster than the best uniform network within "
            f"the budget and predicted {dense}; {at}"
        )
    if first.unit == "share":
        return (
            f"{percent(best.objective)} of the fleet predicted {first.title}, of the best uniform "
            f"network {percent(uniform.objective)}, dense {percent(found.dense.objective)}; "
            f"{at}"
        )
    if first.title != "fleet mean":
        ratio, over = (x.objective / best.objective for x in (uniform, found.dense))
        return (
            f"predicted {times(ratio)} faster in {first.title} than the best uniform network and "
            f"{times(over)} faster than dense, {at}"
        )
    gain = found.gain
    return (
        f"promised {times(gain.promised)} ({gain.low:.2f}-{gain.high:.2f}) faster than the best "
        f"uniform network and predicted {dense}, {at}"
    )


def _worth_measuring(search: Search, found: Answer) -> None:
    """Whether measuring would win more than the search did."""
    if search.problem.limit_ms is None and found.gain.worth_measuring:
        line(
            f"the gain is within its doubt of {percent(found.gain.doubt)}: measuring is worth more"
        )


def _kept_by(search: Search) -> str:
    return f"{search.problem.importance.source}, {search.request.proxy}"


def _asked(search: Search) -> str:
    parts = [] if search.request.flops is None else [f"at {search.request.flops} FLOPs"]
    parts += [] if search.problem.limit_ms is None else [f"with {_limit(search)}"]
    asked = " and ".join(parts) or "up to the dense model"
    request = search.request
    asked += f", {SUSTAINED_STATE}" * (request.state == SUSTAINED_STATE)
    return asked if request.fleet_as is None else f"{asked}, the fleet with {request.fleet_as}"


def _limit(search: Search) -> str:
    return f"{search.problem.goals.first.title} within {search.problem.limit_ms:g} ms"


def _bars(search: Search, row: AnswerRow) -> None:
    groups = search.problem.architecture.groups
    longest = max(len(g.name) for g in groups)
    line("channels kept, layer by layer:")
    for group, count in zip(groups, row.counts.tolist(), strict=True):
        filled = round(BAR * count / group.width)
        out().print(
            f"  {group.name:<{longest}} {'█' * filled}{'░' * (BAR - filled)} "
            f"{count:>5} of {group.width:<5} {percent(count / group.width, 0):>6}",
            markup=False,
        )


def show_accuracy(search: Search, result: SearchResult, found: Answer) -> None:
    """One line on the accuracy of the answer."""
    if search.lesson is not None:
        _show_learned(search.lesson, found)
        return
    for told in accuracy_of(search, result, found).values():
        least = told["least"]
        asked = "" if least is None else f", {percent(least)} asked for"
        line(
            f"accuracy of found before any tuning: {percent(told['found_untuned'])}{asked}; "
            f"{told['judged_trials']:,} trials judged on held-out training images of {told['data']}"
        )


def _show_learned(lesson: AccuracyLesson, found: Answer) -> None:
    told = learned_document(lesson, found)
    uniform, dense = (
        f"{100 * told[over]['mean']:+.1f} +- {100 * told[over]['half_90']:.1f} points"
        for over in ("over_best_uniform", "over_dense")
    )
    line(
        f"accuracy of found after a short tuning: {percent(told['found'])} predicted from "
        f"{counted(told['tunings'], 'tuning')}; {uniform} against the best uniform network, "
        f"{dense} against dense as it is ({percent(told['dense'])}); 90 % intervals"
    )
