"""`hdap fit`: one latency surrogate a cluster."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hdap.cli.settings.fleet_commands import FitCommand
from hdap.cli.tables import what_if_table as asking
from hdap.cli.terminal.layout import Justify
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, say, show_rows, warn
from hdap.fleet_data.wording import number, percent
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.validation.choose_by_state import POOLED, StateChoice
from hdap.surrogate.validation.cross_validation import Score
from hdap.surrogate.validation.fit_surrogates import FitResult
from hdap.workflows.artifacts import measured_architecture
from hdap.workflows.fleet_artifacts import ensure_clustering, fit_surrogates
from hdap.workflows.next_commands import search_command

TITLES = {FleetModel.kind: "alone", POOLED: "with others"}
"""What candidates of one kind are told apart by."""


def run(asked: FitCommand) -> None:
    """Fit, or predict for other circumstances, and print the figures."""
    context = asking.parse_context(asked.what_if) if asked.what_if else None
    with open_store(asked.db, create=False) as store:
        architecture = measured_architecture(store, asked.model, say)
        clustering = ensure_clustering(store, say)
        if context is not None:
            told = asking.ask(store, architecture, clustering, context, asked.kind, asked.seed)
            emit_json(asking.document(told)) if asked.as_json else asking.show(told)
            return
        result = fit_surrogates(store, architecture, clustering, asked.kind, asked.seed)
    emit_json(document(result)) if asked.as_json else show(result)


def document(result: FitResult) -> dict[str, Any]:
    """The fit as `--json` prints it."""
    record = result.records[0]
    return {
        "model": record.model,
        "kind": record.kind,
        "clustering": record.clustering_id,
        "step": result.surrogate.step,
        "steps": result.surrogate.steps,
        "states": [_state(s, result) for s in result.states],
        "context_range": [asdict(r) for r in result.surrogate.context_range],
        "clusters": [
            {**asdict(s), "rows": r.rows, "warning": r.warning}
            for s, r in zip(result.scores, result.records, strict=True)
        ],
        "base_lines": {
            name: [asdict(s) for s in scores] for name, scores in result.base_lines.items()
        },
        "notes": result.notes,
    }


def show(result: FitResult) -> None:
    """The fit as a person reads it."""
    record = result.records[0]
    others = list(result.base_lines)
    show_rows(
        list(zip(result.scores, result.records, strict=True)),
        ("cluster", "right", lambda x: f"{x[0].cluster}"),
        ("rows", "right", lambda x: f"{x[1].rows:,}"),
        ("configurations", "right", lambda x: f"{x[0].cells:,}"),
        ("held-out error", "right", lambda x: percent(x[0].mape)),
        ("of a device", "right", lambda x: percent(x[0].device_error)),
        ("worst device", "right", lambda x: _worst(x[0])),
        ("noise", "right", lambda x: percent(x[0].noise_floor)),
        ("rank correlation", "right", lambda x: number(x[0].kendall_tau)),
        ("in 90 % interval", "right", lambda x: percent(x[0].coverage, 0)),
        *(_error_of(name, scores) for name, scores in result.base_lines.items()),
        title=f"{record.kind} surrogates of {record.model}, on held-out configurations",
        optional=(*(f"error of {n}" for n in reversed(others)), "configurations", "worst device"),
    )
    if result.choices:
        _show_states(result)
    line(_mean_line(result, others))
    line(_device_line(result))
    line(f"channel counts pay in steps of {result.surrogate.step}")
    line(_context_line(result))
    for note in result.notes:
        say(note)
    for warning in result.warnings:
        warn(warning)
    next_steps(search_command(record.model))


def _state(choice: StateChoice, result: FitResult) -> dict[str, Any]:
    """What was chosen for a runtime and precision, and the grid that pays there."""
    steps = sorted({result.surrogate.steps[k] for k in choice.clusters})
    return asdict(choice) | {"steps": steps, "line": choice.words}


def _show_states(result: FitResult) -> None:
    """The choice for each runtime and precision, beside what it was chosen from."""
    tried = list(dict.fromkeys(name for s in result.states for name in s.errors))
    show_rows(
        [_state(s, result) for s in result.states],
        ("runtime, precision", "left", lambda s: s["state"] or "unknown"),
        ("clusters", "left", lambda s: ", ".join(map(str, s["clusters"]))),
        ("chosen", "left", lambda s: TITLES.get(s["kind"], s["kind"])),
        *(_error_by(name) for name in tried),
        ("pays in steps of", "right", lambda s: ", ".join(map(str, s["steps"]))),
        title="one surrogate for each runtime and precision, by held-out error",
    )


def _error_by(name: str) -> tuple[str, Justify, Callable[[dict[str, Any]], str]]:
    def told(state: dict[str, Any]) -> str:
        return percent(state["errors"][name]) if name in state["errors"] else "-"

    return TITLES.get(name, name), "right", told


def _error_of(
    name: str, scores: tuple[Score, ...]
) -> tuple[str, Justify, Callable[[tuple[Score, Any]], str]]:
    return f"error of {name}", "right", lambda x: percent(scores[x[0].cluster].mape)


def _device_line(result: FitResult) -> str:
    """What a cluster's median hides: how far off single devices are."""
    judged = [s for s in result.scores if s.devices]
    if not judged:
        return "no device measured enough for an error of its own"
    worst = max(judged, key=lambda s: s.worst_error)
    devices = sum(s.devices for s in judged)
    typical = sum(s.device_error * s.devices for s in judged) / devices
    return (
        f"held-out error of a single device, one row each: typically {percent(typical)}, at worst "
        f"{percent(worst.worst_error)} ({worst.worst_device}, cluster {worst.cluster})"
    )


def _worst(score: Score) -> str:
    return f"{score.worst_device} {percent(score.worst_error)}" if score.worst_device else "-"


def _context_line(result: FitResult) -> str:
    known = [r for r in result.surrogate.context_range if r.low > 0]
    if not known:
        return "no clock was reported: what if it changed cannot be asked"
    low, high = min(r.low for r in known), max(r.high for r in known)
    return f"clocks of {low:.0f}-{high:.0f} MHz were seen: ask with --what-if clock=0.6"


def _mean_line(result: FitResult, others: list[str]) -> str:
    named = {result.records[0].kind: result.scores} | {n: result.base_lines[n] for n in others}
    parts = [f"{name} {percent(_mean_error(scores))}" for name, scores in named.items()]
    return "mean held-out error over clusters: " + ", ".join(parts)


def _mean_error(scores: tuple[Score, ...]) -> float:
    cells = sum(s.cells for s in scores)
    return sum(s.mape * s.cells for s in scores if s.cells) / max(cells, 1)
