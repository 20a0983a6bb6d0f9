"""`hdap simulate`: a fleet whose truth is known; nothing of it is measured."""

from dataclasses import asdict
from pathlib import Path

from hdap.cli.settings.fleet_commands import SimulateCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import emit_json, note, progress_bar, say
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.documents import read_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.networks.tracing import trace
from hdap.simulation.bundles import answer_bundle
from hdap.simulation.fleet_folder import make_folder, read_fleet, write_fleet
from hdap.simulation.presets import preset
from hdap.simulation.telemetry_stream import TelemetryPlan
from hdap.workflows.next_commands import command_line


def run(asked: SimulateCommand) -> None:
    """Write a fleet, or answer a bundle with one that was written."""
    if asked.answer is not None:
        _answer(asked, asked.answer)
        return
    # without one of the three there are no measurements of pruned networks, so none of the others
    pruned = min(asked.configurations, asked.measuring_devices, asked.measured_rows) > 0
    plan = TelemetryPlan(
        rows_per_device=asked.rows,
        configurations=asked.configurations * pruned,
        measuring_devices=asked.measuring_devices * pruned,
        measured_rows=asked.measured_rows * pruned,
        broken_share=asked.broken,
    )
    spec = preset(asked.preset, asked.devices, asked.seed)
    make_folder(asked.out, asked.form)
    architectures = [_architecture(name) for name in asked.model]
    with progress_bar("simulating") as bar:
        report = write_fleet(
            *(asked.out, spec, architectures, plan, asked.form, asked.seed),  # type: ignore[arg-type]
            progress=lambda done, total: bar(done, total, ""),
        )
    if asked.as_json:
        emit_json(asdict(report))
        return
    note(str(report))
    next_steps(_ingest(report.telemetry, asked.out))


def _architecture(name: str) -> Architecture:
    say(f"tracing {name}")
    return trace(name)


def _answer(asked: SimulateCommand, bundle: Path) -> None:
    fleet = read_fleet(asked.out)
    if not asked.device:
        raise InputError("`--answer` needs `--device`: name the devices that the bundle is for")
    manifest = bundle / "manifest.json"
    model, chosen = read_document(manifest, MeasuringBundle).model, fleet.find(asked.device)
    answered = answer_bundle(manifest, _architecture(model), chosen, seed=asked.seed)
    path = bundle / "simulated.csv"
    # polars would quote empty text; unquoted it is what every other writer of the contract sends
    try:
        answered.rows.write_csv(path, quote_style="never")
    except OSError as error:
        raise InputError(
            f"{path} must be a file that can be written, but is not ({error}); copy the bundle"
        ) from error
    if asked.as_json:
        emit_json({"simulated": True, "file": str(path), "rows": len(answered.rows)})
        return
    note(f"{answered} in {path}")
    next_steps(_ingest(path, asked.out))


def _ingest(file: Path | str, out: Path) -> str:
    """Into a database of its own: simulated rows beside measured ones would mark all of them."""
    return command_line("ingest", file, "--db", out / "simulated.db")
