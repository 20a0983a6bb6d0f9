"""`hdap export`: a pruned network for other runtimes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from hdap.cli.settings.search_commands import ExportCommand
from hdap.cli.terminal.output import emit_json, note, say
from hdap.elastic.elastic_checkpoint import load_elastic_checkpoint
from hdap.fleet_data.atomic_files import require_free_file
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import megabytes
from hdap.networks.checkpoint import Checkpoint, load_checkpoint
from hdap.networks.export_formats.base import ExportOptions
from hdap.networks.exporting import Exported, export
from hdap.networks.manifest import ElasticManifest, read_manifest


def run(asked: ExportCommand) -> None:
    """Export, compare with torch and print what was written."""
    kind = asked.kind
    if asked.opset is not None and kind != "onnx":
        raise InputError(f"`--opset` is of ONNX alone, but got --format {kind}; leave it out")
    require_free_file(asked.out, asked.force)
    loaded = _load(asked.checkpoint, asked.model, asked.level)
    say(f"exporting {loaded.manifest.model} to {kind}, comparing with torch")
    options = ExportOptions(dynamic_batch=asked.dynamic_batch)
    if asked.opset is not None:
        options = replace(options, opset=asked.opset)
    shape = loaded.manifest.input_shape
    done = export(loaded.module, shape, kind, asked.out, options, force=asked.force)
    emit_json(document(loaded, kind, done)) if asked.as_json else show(kind, done)


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


def document(loaded: Checkpoint, kind: str, done: Exported) -> dict[str, Any]:
    """The export as `--json` prints it."""
    return {
        "model": loaded.manifest.model,
        "format": kind,
        "files": [str(file) for file in done.files],
        "bytes": done.bytes,
        "batches_compared": done.batches,
        "max_relative_error": done.error,
    }


def show(kind: str, done: Exported) -> None:
    """The export as a person reads it."""
    batches = ", ".join(map(str, done.batches))
    note(
        f"[bold]{escape(str(done.files[0]))}[/bold]: {kind}, {megabytes(done.bytes)}; "
        f"largest relative error against torch {done.error:.1e} on random batches of {batches}",
        markup=True,
    )
    for file in done.files[1:]:
        note(f"weights lie in {file}: ONNX files end at 2 GB; keep both together")
