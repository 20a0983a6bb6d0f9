"""`hdap simulate`: a fleet whose truth is known; nothing of it is measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options.shared_options import AsJson, Debug, Seed

if TYPE_CHECKING:
    from hdap.fleet_data.architecture import Architecture

NAME = "simulate"


def run(
    out: Annotated[Path, typer.Option("--out", help="Folder for telemetry and hidden truth.")],
    preset: Annotated[
        str, typer.Option("--preset", help="microfleet (as measured), cameras or phones.")
    ] = "cameras",
    devices: Annotated[int, typer.Option("--devices", min=1, help="Devices of the fleet.")] = 1000,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="A timm name; repeatable.  [default: resnet50]"),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Dense rows a device sends.")] = 20,
    configurations: Annotated[
        int, typer.Option("--configurations", min=0, help="Pruned networks that are tried.")
    ] = 200,
    measuring_devices: Annotated[
        int, typer.Option("--measuring-devices", min=0, help="Devices that try pruned networks.")
    ] = 20,
    measured_rows: Annotated[
        int, typer.Option("--measured-rows", min=0, help="Pruned networks that each of them tries.")
    ] = 50,
    broken: Annotated[
        float, typer.Option("--broken", min=0.0, max=0.99, help="Share of rows broken on purpose.")
    ] = 0.0,
    form: Annotated[str, typer.Option("--format", help="csv, csv.gz or parquet.")] = "csv.gz",
    answer: Annotated[
        Path | None,
        typer.Option(
            "--answer",
            exists=True,
            file_okay=False,
            help="Answer this bundle of `hdap plan` with the fleet in --out instead.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", help="Which devices answer; repeatable.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Simulate a fleet: throttling, contention, ageing, spread, heavy-tailed noise, broken rows.

    Every row says simulated, and so does every output that comes from it. The machine is calibrated
    on the measured fleets; heat, ageing and the mix of kinds of cameras and phones are assumed.
    """
    if answer is not None:
        _answer(out, answer, device or [], seed, as_json)
        return
    from dataclasses import asdict

    from hdap.cli.terminal.output import emit_json, next_steps, progress_bar
    from hdap.cli.terminal.output import out as page
    from hdap.simulation.fleet_folder import make_folder, write_fleet
    from hdap.simulation.presets import preset as make_preset
    from hdap.simulation.telemetry_stream import TelemetryPlan

    # without one of the three there are no measurements of pruned networks, so none of the others
    pruned = min(configurations, measuring_devices, measured_rows) > 0
    plan = TelemetryPlan(
        rows_per_device=rows,
        configurations=configurations * pruned,
        measuring_devices=measuring_devices * pruned,
        measured_rows=measured_rows * pruned,
        broken_share=broken,
    )
    spec = make_preset(preset, devices, seed)
    make_folder(out, form)
    architectures = [_architecture(name) for name in model or ["resnet50"]]
    with progress_bar("simulating") as bar:
        report = write_fleet(
            *(out, spec, architectures, plan, form, seed),  # type: ignore[arg-type]
            progress=lambda done, total: bar(done, total, ""),
        )
    if as_json:
        emit_json(asdict(report))
        return
    page().print(str(report), markup=False, soft_wrap=True)
    next_steps(f"hdap ingest {report.telemetry} --db {out / 'simulated.db'}")


def _architecture(name: str) -> "Architecture":
    from hdap.cli.terminal.output import say
    from hdap.networks.tracing import trace

    say(f"tracing {name}")
    return trace(name)


def _answer(folder: Path, bundle: Path, devices: list[str], seed: int, as_json: bool) -> None:
    from hdap.cli.terminal.output import emit_json, next_steps, out
    from hdap.fleet_data.documents import read_document
    from hdap.fleet_data.errors import InputError
    from hdap.fleet_data.measuring_bundle import MeasuringBundle
    from hdap.simulation.bundles import answer_bundle
    from hdap.simulation.fleet_folder import read_fleet

    fleet = read_fleet(folder)
    if not devices:
        raise InputError("`--answer` needs `--device`: name the devices that the bundle is for")
    manifest = bundle / "manifest.json"
    model, chosen = read_document(manifest, MeasuringBundle).model, fleet.find(tuple(devices))
    answered = answer_bundle(manifest, _architecture(model), chosen, seed=seed)
    path = bundle / "simulated.csv"
    # polars would quote empty text; unquoted it is what every other writer of the contract sends
    try:
        answered.rows.write_csv(path, quote_style="never")
    except OSError as error:
        raise InputError(
            f"{path} must be a file that can be written, but is not ({error}); copy the bundle"
        ) from error
    if as_json:
        emit_json({"simulated": True, "file": str(path), "rows": len(answered.rows)})
        return
    out().print(f"{answered} in {path}", markup=False, soft_wrap=True)
    next_steps(f"hdap ingest {path}")
