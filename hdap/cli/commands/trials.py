"""`hdap trials`: the usual questions about stored search trials."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hdap.cli.settings.search_commands import TrialsCommand
from hdap.cli.tables.front_table import documents, show_front
from hdap.cli.terminal.layout import Justify
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, note, out, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.records import QueryResult, StudyRecord
from hdap.fleet_data.store import Store
from hdap.fleet_data.wording import UNKNOWN, amount, interval, kept, latency, percent
from hdap.search.analysis.pareto_front import (
    FrontRow,
    best_first,
    front,
    front_places,
    values_of,
)
from hdap.search.analysis.spread import different, evenly
from hdap.search.problem.objectives import OBJECTIVES, Goals, parse_goals
from hdap.workflows.next_commands import command_line, free_name

FIGURES = (
    "number, flops, parameters, fleet_mean_ms, fleet_mean_low_ms, fleet_mean_high_ms, "
    "fleet_p95_ms, worst_cluster_ms, worst_cluster, kept_importance, feasible, ucb_ms, "
    "value_1, value_2, value_3"
)


def run(asked: TrialsCommand) -> None:
    """Print what is stored of a study, of one trial, or of all studies."""
    if sum([asked.pareto, asked.trial is not None, asked.studies]) > 1:
        raise InputError("`--pareto`, `--trial` and `--studies` exclude each other; give one")
    with open_store(asked.db, create=False, read_only=True) as store:
        if asked.studies:
            found = store.query("SELECT * FROM trial_summary ORDER BY study_id")
        else:
            record = store.study(asked.study)
            if asked.trial is not None:
                document = _trial(store, record, asked.trial)
                emit_json(document) if asked.as_json else _show_trial(document)
                return
            goals = _goals(record)
            if asked.pareto and goals.several:
                rows = front(store.trials(record.id), goals)
                _print_front(record, goals, rows, asked.limit, asked.as_json)
                return
            found = _list(store, record, asked.pareto, asked.limit)
    if asked.as_json:
        emit_json(_dicts(found))
    elif asked.studies:
        _show_studies(_dicts(found))
    else:
        _show_list(record, _dicts(found), asked.pareto)


def _goals(record: StudyRecord) -> Goals:
    return parse_goals(str(record.settings.get("objective", "mean")))


def _print_front(
    record: StudyRecord, goals: Goals, rows: tuple[FrontRow, ...], limit: int, as_json: bool
) -> None:
    if as_json:
        emit_json(documents(goals.names, rows))
        return
    show_front(goals, rows, f"{record.name}: Pareto front of {record.objective}", limit)
    if rows:
        balanced = next(row.number for row in rows if row.balanced)
        next_steps(command_line("trials", "--study", record.name, "--trial", balanced))


def _dicts(found: QueryResult) -> list[dict[str, Any]]:
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def _list(store: Store, record: StudyRecord, pareto: bool, limit: int) -> QueryResult:
    """A spread of the front, or different ones of the best feasible trials, best first."""
    trials = store.trials(record.id)
    if pareto:
        places = front_places(trials)
        places = places[evenly(values_of(trials)[places], limit)]
    else:
        places = best_first(trials)
        places = places[different(trials.counts[places], limit)]
    numbers = trials.number[places].tolist()
    listed = ", ".join(map(str, numbers)) or "NULL"
    found = store.query(
        f"SELECT {FIGURES} FROM trials WHERE study_id = {record.id} AND number IN ({listed})"
    )
    at = found.columns.index("number")
    rows = sorted(found.rows, key=lambda row: numbers.index(row[at]))
    return replace(found, rows=tuple(rows))


def _trial(store: Store, record: StudyRecord, trial: int) -> dict[str, Any]:
    at = f"study_id = {record.id} AND number = {trial}"
    rows = _dicts(store.query(f"SELECT trial_id, {FIGURES} FROM trials WHERE {at}"))
    if not rows:
        raise NotFoundError(
            f"study {record.name} must have a trial {trial}, but it has none of that number; "
            "list them: hdap trials"
        )
    key = rows[0].pop("trial_id")
    clusters = store.query(
        "SELECT cluster, latency_ms, latency_low_ms, latency_high_ms FROM trial_clusters "
        f"WHERE trial_id = {key} ORDER BY cluster"
    )
    channels = store.query(
        f"SELECT width_group, channels FROM trial_channels WHERE trial_id = {key}"
    )
    kept = {str(name): int(count) for name, count in channels.rows}
    names = [group.name for group in store.architecture(record.model).groups]
    return {
        "study": record.name,
        "model": record.model,
        "latency": "predicted",
        **rows[0],
        "clusters": _dicts(clusters),
        "channels": {name: kept[name] for name in names},
    }


def _show_trial(document: dict[str, Any]) -> None:
    line(
        f"[bold]trial {document['number']}[/bold] of {document['study']} ({document['model']}): "
        f"{format_flops(document['flops'])} FLOPs, {amount(document['parameters'])} "
        f"parameters, kept importance {kept(document['kept_importance'])}",
        markup=True,
    )
    ends = interval(document["fleet_mean_low_ms"], document["fleet_mean_high_ms"])
    line(
        f"predicted fleet mean {latency(document['fleet_mean_ms'])} ({ends} with 90 %), "
        f"p95 of devices {latency(document['fleet_p95_ms'])}"
    )
    show_rows(
        document["clusters"],
        ("cluster", "right", lambda c: str(c["cluster"])),
        ("predicted latency", "right", lambda c: latency(c["latency_ms"])),
        (
            "90 % interval",
            "right",
            lambda c: interval(c["latency_low_ms"], c["latency_high_ms"]),
        ),
    )
    channels = ";".join(f"{name}={count}" for name, count in document["channels"].items())
    out().print(f"channels: {channels}", soft_wrap=True, markup=False)
    this = ("--study", document["study"], "--trial", document["number"])
    next_steps(
        command_line("trials", "--study", document["study"], "--pareto"),
        command_line("prune", *this, "--out", free_name("pruned")),
    )


def _show_list(record: StudyRecord, rows: list[dict[str, Any]], pareto: bool) -> None:
    what = "Pareto front" if pareto else "best feasible trials"
    show_rows(
        rows,
        ("trial", "right", lambda t: str(t["number"])),
        ("FLOPs", "right", lambda t: format_flops(t["flops"])),
        ("fleet mean", "right", lambda t: latency(t["fleet_mean_ms"])),
        (
            "90 % interval",
            "right",
            lambda t: interval(t["fleet_mean_low_ms"], t["fleet_mean_high_ms"]),
        ),
        *_own_column(record),
        ("p95 of devices", "right", lambda t: latency(t["fleet_p95_ms"])),
        (
            "worst cluster",
            "right",
            lambda t: f"{latency(t['worst_cluster_ms'])} ({t['worst_cluster']})",
        ),
        ("kept importance", "right", lambda t: kept(t["kept_importance"])),
        title=f"{record.name}: {what}, predicted latency",
        optional=("p95 of devices", "worst cluster", "kept importance"),
    )
    if rows:
        number = rows[0]["number"]
        next_steps(command_line("trials", "--study", record.name, "--trial", number))


def _own_column(record: StudyRecord) -> list[tuple[str, Justify, Callable[[Any], str]]]:
    """The objective of a study where no other column of the list shows it."""
    first = _goals(record).first
    if first in OBJECTIVES.values():
        return []
    head = f"{first.title}, cautious"
    if first.unit == "ms":
        return [(head, "right", lambda t: latency(t["ucb_ms"]))]
    return [(head, "right", lambda t: percent(1.0 - t["value_1"]))]


def _best(ms: float | None) -> str:
    return UNKNOWN if ms is None else latency(ms)


def _show_studies(rows: list[dict[str, Any]]) -> None:
    show_rows(
        rows,
        ("study", "left", lambda s: s["study"]),
        ("model", "left", lambda s: s["model"]),
        ("sampler", "left", lambda s: s["sampler"]),
        ("budget", "right", lambda s: format_flops(s["flops_high"])),
        ("trials", "right", lambda s: f"{s['trials']:,}"),
        ("feasible", "right", lambda s: f"{s['feasible']:,}"),
        ("best fleet mean (predicted)", "right", lambda s: _best(s["best_fleet_mean_ms"])),
        ("state", "left", lambda s: s["state"]),
        optional=("feasible", "sampler", "state"),
    )
    if not rows:
        note("no study is stored: `hdap search` makes one")
        return
    next_steps(command_line("trials", "--study", rows[-1]["study"], "--pareto"))
