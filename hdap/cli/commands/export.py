"""`hdap export`: a pruned network for other runtimes."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from hdap.cli.settings.search_commands import ExportCommand
from hdap.cli.terminal.output import emit_json, note, say
from hdap.elastic.elastic_checkpoint import load_elastic_checkpoint
from hdap.fleet_data.architecture import one_input
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import megabytes, percent
from hdap.networks.checkpoint import Checkpoint, load_checkpoint
from hdap.networks.export_formats.base import ExportOptions
from hdap.networks.exporting import BOUNDS, Exported, check_options, export, require_free
from hdap.networks.manifest import ElasticManifest, read_manifest
from hdap.workflows.export_quality import (
    AccuracyCost,
    accuracy,
    accuracy_cost,
    judged_part,
    read_calibration_data,
)


def run(asked: ExportCommand) -> None:
    """Export, compare with torch and print what was written."""
    kind = asked.kind
    if asked.opset is not None and kind != "onnx":
        raise InputError(f"`--opset` is of ONNX alone, but got --format {kind}; leave it out")
    if asked.data is not None and asked.precision != "int8":
        raise InputError(
            f"`--data` calibrates int8, but got --precision {asked.precision}; leave one out"
        )
    options = ExportOptions(dynamic_batch=asked.dynamic_batch, precision=asked.precision)
    if asked.opset is not None:
        options = replace(options, opset=asked.opset)
    check_options(kind, options, asked.out)
    require_free(kind, asked.out, asked.force)
    loaded = _load(asked.checkpoint, asked.model, asked.level)
    shape, judged, before = loaded.manifest.input_shape, None, 0.0
    if asked.data is not None:
        only = one_input(shape, loaded.manifest.model, "--data")
        data, inputs = read_calibration_data(asked.data, loaded.manifest.model, only)
        options = replace(options, calibration=inputs)
        judged = judged_part(data, asked.images)
        say(f"judging the network on {len(judged):,} validation images")
        before = accuracy(loaded.module, judged)
        say(f"calibrating on {len(inputs)} images of {asked.data}")
    say(f"exporting {loaded.manifest.model} to {kind}, comparing with torch")
    done = export(loaded.module, shape, kind, asked.out, options, force=asked.force)
    cost = None
    if judged is not None:
        say("judging the file on the same images")
        cost = accuracy_cost(before, kind, done.files[0], judged)
    emit_json(document(loaded, kind, done, cost)) if asked.as_json else show(kind, done, cost)


def _load(checkpoint: Path, model: str | None, level: int | None) -> Checkpoint:
    if level is None and isinstance(read_manifest(checkpoint), ElasticManifest):
        raise InputError(
            f"one level of an elastic network is exported, but {checkpoint} holds several; "
            "name one, the narrowest with --level 0"
        )
    if level is None:
        return load_checkpoint(checkpoint, model=model)
    elastic = load_elastic_checkpoint(checkpoint, model=model)
    return Checkpoint(elastic.model.materialise(level), elastic.manifest)


def document(
    loaded: Checkpoint, kind: str, done: Exported, cost: AccuracyCost | None
) -> dict[str, Any]:
    """The export as `--json` prints it."""
    return {
        "model": loaded.manifest.model,
        "format": kind,
        "precision": done.precision,
        "files": [str(file) for file in done.files],
        "bytes": done.bytes,
        "batches_compared": done.batches,
        "max_relative_error": None if done.precision == "int8" else done.error,
        "rms_relative_error": done.error if done.precision == "int8" else None,
        "agreement": done.agreement,
        "calibrated_on": done.calibrated or None,
        "accuracy": None if cost is None else asdict(cost),
    }


def show(kind: str, done: Exported, cost: AccuracyCost | None) -> None:
    """The export as a person reads it."""
    written = "" if done.precision == "float32" else f" in {done.precision}"
    note(
        f"[bold]{escape(str(done.files[0]))}[/bold]: {kind}{written}, {megabytes(done.bytes)}; "
        f"{_compared(done)}",
        markup=True,
    )
    for file in done.files[1:]:
        note(f"{file} belongs to it: keep both together")
    if done.calibrated == "random":
        note("calibrated on random inputs: good for latency; to ship it, calibrate: --data")
    if cost is not None:
        note(
            f"accuracy on {cost.images:,} validation images: {percent(cost.before)} in float32, "
            f"{percent(cost.after)} in {done.precision}"
        )


def _compared(done: Exported) -> str:
    if done.precision != "int8":
        batches = ", ".join(map(str, done.batches))
        return (
            f"largest relative error against torch {done.error:.1e} on random batches of {batches}"
        )
    bound = f"(root mean square; at most {percent(BOUNDS['int8'])})"
    said = f"{percent(done.error)} from torch on {len(done.batches)} inputs {bound}"
    if done.agreement is not None:
        said += f", the same class for {percent(done.agreement)}"
    return said
