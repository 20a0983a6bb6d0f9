"""`hdap simulate`: a fleet whose truth is known; nothing of it is measured."""

from dataclasses import asdict
from pathlib import Path

from hdap.cli.settings.fleet_commands import SimulateCommand
from hdap.cli.terminal.output import emit_json, next_steps, progress_bar, say
from hdap.cli.terminal.output import out as page
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.documents import read_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.networks.tracing import trace
from hdap.simulation.bundles import answer_bundle
from hdap.simulation.fleet_folder import make_folder, read_fleet, write_fleet
from hdap.simulation.presets import preset
from hdap.simulation.telemetry_stream import TelemetryPlan


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
    page().print(str(report), markup=False, soft_wrap=True)
    next_steps(f"hdap ingest {report.telemetry} --db {asked.out / 'simulated.db'}")


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
    page().print(f"{answered} in {path}", markup=False, soft_wrap=True)
    next_steps(f"hdap ingest {path}")
