"""`hdap fit`: one latency surrogate a cluster."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.surrogate.validation.cross_validation import Score
    from hdap.surrogate.validation.fit_surrogates import FitResult

NAME = "fit"


def run(
    model: Annotated[str, typer.Option("--model", help="The model whose latency is learned.")],
    kind: Annotated[
        str, typer.Option("--kind", help="fleet, roofline, or hdap-gbrt (as HDAP).")
    ] = "fleet",
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if",
            help="Predict for clock=0.6 (of today's), temperature=+10 or load=+20 instead.",
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Learn how long a pruned network takes on each cluster, and say how well that is known.

    Errors are on held-out configurations: what was fitted is never judged. With --what-if the
    surrogates say what the fleet would take in other circumstances, as far as its telemetry tells.
    """
    from hdap.cli.tables import what_if_table as asking
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, say
    from hdap.workflows.artifacts import ensure_clustering, fit_surrogates, measured_architecture

    context = asking.parse_context(what_if) if what_if else None
    with open_store(db, create=False) as store:
        architecture = measured_architecture(store, model, say)
        clustering = ensure_clustering(store, say)
        if context is not None:
            asked = asking.ask(store, architecture, clustering, context, kind, seed)
            emit_json(asking.document(asked)) if as_json else asking.show(asked)
            return
        result = fit_surrogates(store, architecture, clustering, kind, seed)
    if as_json:
        emit_json(document(result))
    else:
        show(result)


def document(result: "FitResult") -> dict[str, Any]:
    """The fit as `--json` prints it."""
    record = result.records[0]
    return {
        "model": record.model,
        "kind": record.kind,
        "clustering": record.clustering_id,
        "step": result.surrogate.step,
        "steps": result.surrogate.steps,
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


def show(result: "FitResult") -> None:
    """The fit as a person reads it."""
    from hdap.cli.terminal.output import line, next_steps, percent, say, table, warn

    record = result.records[0]
    others = list(result.base_lines)
    table(
        [
            ("cluster", "right"),
            ("rows", "right"),
            ("configurations", "right"),
            ("held-out error", "right"),
            ("noise", "right"),
            ("rank correlation", "right"),
            ("in 90 % interval", "right"),
            *((f"error of {name}", "right") for name in others),
        ],
        [
            [
                f"{s.cluster}",
                f"{r.rows:,}",
                f"{s.cells:,}",
                percent(s.mape),
                percent(s.noise_floor),
                f"{s.kendall_tau:.3f}",
                percent(s.coverage, 0),
                *(percent(result.base_lines[name][s.cluster].mape) for name in others),
            ]
            for s, r in zip(result.scores, result.records, strict=True)
        ],
        title=f"{record.kind} surrogates of {record.model}, on held-out configurations",
        optional=(*(f"error of {name}" for name in reversed(others)), "configurations"),
    )
    line(_mean_line(result, others))
    line(f"channel counts pay in steps of {result.surrogate.step}")
    line(_context_line(result))
    for note in result.notes:
        say(note)
    for warning in result.warnings:
        warn(warning)
    next_steps(f"hdap search --model {record.model} --flops 25%")


def _context_line(result: "FitResult") -> str:
    known = [r for r in result.surrogate.context_range if r.low > 0]
    if not known:
        return "no clock was reported: what if it changed cannot be asked"
    low, high = min(r.low for r in known), max(r.high for r in known)
    return f"clocks of {low:.0f}-{high:.0f} MHz were seen: ask with --what-if clock=0.6"


def _mean_line(result: "FitResult", others: list[str]) -> str:
    from hdap.cli.terminal.output import percent

    named = {result.records[0].kind: result.scores} | {n: result.base_lines[n] for n in others}
    parts = [f"{name} {percent(_mean_error(scores))}" for name, scores in named.items()]
    return "mean held-out error over clusters: " + ", ".join(parts)


def _mean_error(scores: "tuple[Score, ...]") -> float:
    cells = sum(s.cells for s in scores)
    return sum(s.mape * s.cells for s in scores if s.cells) / max(cells, 1)
