"""`hdap ingest`: telemetry into the database."""

from dataclasses import asdict
from pathlib import Path

from hdap.cli.settings.fleet_commands import IngestCommand
from hdap.cli.terminal.next_steps import next_steps, telemetry_of_yours
from hdap.cli.terminal.open_store import open_store, tell_simulated
from hdap.cli.terminal.output import emit_json, progress_bar, say, table, warn
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.ingest import IngestReport, check_source, ingest
from hdap.fleet_data.store import Store
from hdap.fleet_data.units.latency_unit import LatencyUnits
from hdap.fleet_data.wording import counted, seconds
from hdap.networks.model_tracer import ModelTracer
from hdap.workflows.next_commands import for_models


def run(asked: IngestCommand) -> None:
    """Load the files and print what came of each, also where a later one fails."""
    units = asked.request.units
    sources = [file if file == "-" else Path(file) for file in asked.files]
    for source in sources:
        check_source(source, asked.request.facts)
    reports: list[IngestReport] = []
    with open_store(asked.db) as store:
        try:
            for source in sources:
                reports.append(_ingest(store, source, asked, units))
                _tell(store, reports[-1], asked)
        finally:
            if asked.as_json and reports:
                emit_json([asdict(report) for report in reports])
        for each in reports[-1].set_aside:
            warn(str(each))
        in_vain = [report for report in reports if report.in_vain]
        if in_vain:
            raise InputError("; ".join(map(_nothing_added, in_vain)))
        if not asked.as_json:
            repairs = [each.repair for each in reports[-1].set_aside]
            if repairs:
                next_steps(*repairs)
            else:
                _offer(store)


def _ingest(
    store: Store, source: Path | str, asked: IngestCommand, units: LatencyUnits
) -> IngestReport:
    with progress_bar(f"ingest {Path(source).name}", "bytes") as bar:
        at: tuple[int, int | None] = (0, None)

        def progress(done: int, total: int | None) -> None:
            nonlocal at
            at = (done, total)
            bar(*at, "")

        def trace(model: str) -> Architecture | None:
            bar(*at, f"tracing {model}")
            return ModelTracer(say)(model)

        return ingest(
            store,
            source,
            trace=trace,
            progress=progress,
            max_rejected=asked.request.max_rejected,
            units=units,
            facts=asked.request.facts,
        )


def _tell(store: Store, report: IngestReport, asked: IngestCommand) -> None:
    """The rows are stored: whatever fails from here on is no failure of theirs."""
    try:
        tell_simulated(store)
    except HdapError as error:
        warn(str(error))
    if not asked.as_json:
        _show(report)
    for line in _warnings(report):
        warn(line)


def _offer(store: Store) -> None:
    try:
        with progress_bar("looking at what comes next"):
            measured = bool(store.measured_models())
            steps = for_models(store)
    except HdapError as error:
        warn(str(error))
        return
    if measured:
        next_steps(*(steps or ["hdap cluster"]))
    else:
        telemetry_of_yours()


def _show(report: IngestReport) -> None:
    rejected = sum(report.rejected.values())
    rate = report.rows / max(report.seconds, 1e-9)
    table(
        [("", "left"), ("", "right")],
        [
            ["rows read", f"{report.rows:,}"],
            ["added", f"{report.added:,}"],
            ["already known", f"{report.known:,}"],
            *([["read in another unit", f"{report.read_anew:,}"]] if report.read_anew else []),
            ["rejected", f"{rejected:,}"],
            *([f"  {reason}", f"{count:,}"] for reason, count in report.rejected.items()),
            ["devices (new)", f"{report.devices:,} ({report.new_devices:,})"],
            *(
                [["  new by a default name", f"{report.default_named:,}"]]
                if report.default_named
                else []
            ),
            ["models", ", ".join(report.models) or "-"],
            ["configurations (new)", f"{report.configurations:,} ({report.new_configurations:,})"],
            ["time span", _span(report)],
            *(
                [["extra columns kept", ", ".join(report.extra_columns)]]
                if report.extra_columns
                else []
            ),
            ["took", f"{seconds(report.seconds)} ({rate:,.0f} rows a second)"],
        ],
        title=f"Ingest of {report.source}",
    )


def _warnings(report: IngestReport) -> list[str]:
    lines = []
    if report.rejected and not report.in_vain:
        rejected = sum(report.rejected.values())
        was = counted(rejected, "row was", "rows were")
        cause = f": {report.rejected_cause}" if report.rejected_cause else ""
        lines.append(f"{was} rejected{cause}{_listed(report)}")
    lines += report.warnings
    if report.default_named:
        lines.append(
            f"{counted(report.default_named, 'new device has', 'new devices have')} a name that "
            f"nobody gave it ({', '.join(report.default_names)}): what one of the fleet measured "
            "counts as its own under its own name alone: measure.pyz --device-id NAME"
        )
    lines += [
        f"{model}: no architecture is stored, so only its dense rows can be kept"
        for model in report.undescribed_models
    ]
    return lines


def _nothing_added(report: IngestReport) -> str:
    rejected = sum(report.rejected.values())
    many = "its only row was" if rejected == 1 else f"all {rejected:,} were"
    cause = report.rejected_cause or f"most often {next(iter(report.rejected))}"
    return f"a row of {report.source} must be good, but {many} rejected: {cause}{_listed(report)}"


def _listed(report: IngestReport) -> str:
    if report.rejected_path is None:
        return ""
    return f" (each is listed with its reason in {report.rejected_path})"


def _span(report: IngestReport) -> str:
    if report.first_at is None or report.last_at is None:
        return "unknown (no timestamps)"
    return f"{report.first_at:%Y-%m-%d %H:%M} to {report.last_at:%Y-%m-%d %H:%M} UTC"
