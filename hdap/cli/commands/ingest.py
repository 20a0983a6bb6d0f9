"""`hdap ingest`: telemetry into the database."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from hdap.cli.settings.fleet_commands import IngestCommand
from hdap.cli.terminal.agree_to_columns import agree_to_columns
from hdap.cli.terminal.next_steps import next_steps, telemetry_of_yours, told_aside
from hdap.cli.terminal.open_store import open_store, tell_simulated
from hdap.cli.terminal.output import emit_json, progress_bar, say, table, warn
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.ingest import IngestReport
from hdap.fleet_data.ingest.ingest_file import FrameStream, Source
from hdap.fleet_data.ingest.reading import SourceReading
from hdap.fleet_data.ingest.source_files import source_of, sources_at
from hdap.fleet_data.reduction.warehouse import kind_of, read_reduced
from hdap.fleet_data.store import Store
from hdap.fleet_data.units.latency_unit import UNITS, LatencyUnits
from hdap.fleet_data.wording import counted, seconds
from hdap.networks.model_tracer import ModelTracer
from hdap.workflows.ingest_as_asked import as_asked
from hdap.workflows.next_commands import for_models


def run(asked: IngestCommand) -> None:
    """Load the files and print what came of each, also where a later one fails."""
    if asked.after is not None and asked.via is None:
        raise InputError("--after must come with --via, which reduces: leave it out, or give both")
    parts = _reductions(asked) if asked.via is not None else _files(asked)
    reports: list[IngestReport] = []
    with open_store(asked.db) as store:
        try:
            for source, how, unit in parts:
                reports.append(_ingest(store, source, asked, unit, how))
                _tell(store, reports[-1], asked)
        finally:
            if asked.as_json and reports:
                emit_json([asdict(report) for report in reports])
        for each in reports[-1].set_aside:
            warn(told_aside(each))
        in_vain = [report for report in reports if report.in_vain]
        if in_vain:
            raise InputError("; ".join(map(_nothing_added, in_vain)))
        if not asked.as_json:
            repairs = _repairs(reports, asked)
            if repairs:
                next_steps(*repairs)
            else:
                _offer(store)


_Part = tuple[Source, SourceReading, LatencyUnits]


def _files(asked: IngestCommand) -> list[_Part]:
    units, request = asked.request.units, asked.request
    sources = [each for file in asked.files for each in sources_at(source_of(file))]
    return [
        (each, agree_to_columns(each, request.reading, request.facts, unit_said=units.said), units)
        for each in sources
    ]


def _reductions(asked: IngestCommand) -> Iterator[_Part]:
    """Tables reduced by the engine that was named, one when it is asked for."""
    request = asked.request
    for table_name in asked.files:
        say(f"reducing {table_name} in {kind_of(str(asked.via))}")
        found = read_reduced(str(asked.via), table_name, request.reading, asked.after)
        units, told = request.units, found.naming.unit
        if told and not units.said:
            units = replace(units, of_all=UNITS[told])
        if found.naming.taken:
            say("columns read as " + ", ".join(f"{a}={b}" for a, b in found.naming.taken))
        stream = FrameStream(found.name, found.frames)
        yield stream, SourceReading(models=request.reading.models), units


def _repairs(reports: Sequence[IngestReport], asked: IngestCommand) -> list[str]:
    """Commands that read rows in another unit, files of this one as they were read now."""
    now = {report.source for report in reports}
    request = asked.request
    said = [f"--source {shlex.quote(asked.source)}"] if asked.source else []
    said += [f"--via {shlex.quote(asked.via)}"] if asked.via else []
    if not asked.source:
        said += [f"--map {shlex.quote(pair)}" for pair in request.columns]
        said += [f"--model-alias {shlex.quote(pair)}" for pair in request.models]
        said += [f"--delimiter {shlex.quote(request.delimiter)}"] * bool(request.delimiter)
        said += [f"--decimal {request.decimal}"] * bool(request.decimal)
        for column in request.facts.said():
            flag = f"--{column.replace('_', '-')}"
            said.append(f"{flag} {shlex.quote(getattr(request.facts, column))}")
    said += ["--yes"] * any(report.columns_read for report in reports)
    return [
        " ".join([each.repair, *(said if each.source in now else [])])
        for each in reports[-1].set_aside
    ]


def _ingest(
    store: Store,
    source: Source,
    asked: IngestCommand,
    units: LatencyUnits,
    reading: SourceReading,
) -> IngestReport:
    name = (
        source.name
        if isinstance(source, FrameStream)
        else str(source).rstrip("/").rpartition("/")[2]
    )
    with progress_bar(f"ingest {name}", "bytes") as bar:
        at: tuple[int, int | None] = (0, None)

        def progress(done: int, total: int | None) -> None:
            nonlocal at
            at = (done, total)
            bar(*at, "")

        def trace(model: str) -> Architecture | None:
            bar(*at, f"tracing {model}")
            return ModelTracer(say)(model)

        load = as_asked(asked.request, say)
        return load(store, source, trace=trace, progress=progress, units=units, reading=reading)


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
            *([["columns read as", ", ".join(report.columns_read)]] if report.columns_read else []),
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
