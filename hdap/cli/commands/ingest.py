"""`hdap ingest`: telemetry into the database."""

from dataclasses import asdict
from pathlib import Path

from hdap.cli.settings.fleet_commands import IngestCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, next_steps, progress_bar, say, table, warn
from hdap.fleet_data.ingest import IngestReport, check_source, ingest
from hdap.fleet_data.store import Store
from hdap.networks.model_tracer import ModelTracer


def run(asked: IngestCommand) -> None:
    """Load the files and print what came of each."""
    sources = [file if file == "-" else Path(file) for file in asked.files]
    for source in sources:
        check_source(source)
    with open_store(asked.db) as store:
        reports = [_ingest(store, source) for source in sources]
        steps = _next(store)
    if asked.as_json:
        emit_json([asdict(report) for report in reports])
        return
    for report in reports:
        _show(report)
    next_steps(*steps)


def _ingest(store: Store, source: Path | str) -> IngestReport:
    with progress_bar(f"ingest {source}", "bytes") as bar:
        return ingest(
            store,
            source,
            trace=ModelTracer(say),
            progress=lambda done, total: bar(done, total, ""),
        )


def _next(store: Store) -> list[str]:
    counts = store.model_counts()
    if not counts:
        return ["hdap ingest telemetry.csv"]
    pruned = [m.model for m in counts if m.measurements > m.dense_measurements]
    return [f"hdap search --model {name} --flops 25%" for name in pruned[:3]] or ["hdap cluster"]


def _show(report: IngestReport) -> None:
    rejected = sum(report.rejected.values())
    rate = report.rows / max(report.seconds, 1e-9)
    table(
        [("", "left"), ("", "right")],
        [
            ["rows read", f"{report.rows:,}"],
            ["added", f"{report.added:,}"],
            ["already known", f"{report.known:,}"],
            ["rejected", f"{rejected:,}"],
            *([f"  {reason}", f"{count:,}"] for reason, count in report.rejected.items()),
            ["devices (new)", f"{report.devices:,} ({report.new_devices:,})"],
            ["models", ", ".join(report.models) or "-"],
            ["configurations (new)", f"{report.configurations:,} ({report.new_configurations:,})"],
            ["time span", _span(report)],
            *(
                [["extra columns kept", ", ".join(report.extra_columns)]]
                if report.extra_columns
                else []
            ),
            ["seconds", f"{report.seconds:.1f} ({rate:,.0f} rows a second)"],
        ],
        title=f"Ingest of {report.source}",
    )
    if report.rejected_path:
        warn(
            f"{rejected:,} rows were rejected; each is listed with its reason in "
            f"{report.rejected_path}"
        )
    for model in report.undescribed_models:
        warn(f"{model}: no architecture is stored, so only its dense rows can be kept")


def _span(report: IngestReport) -> str:
    if report.first_at is None or report.last_at is None:
        return "unknown (no timestamps)"
    return f"{report.first_at:%Y-%m-%d %H:%M} to {report.last_at:%Y-%m-%d %H:%M} UTC"
