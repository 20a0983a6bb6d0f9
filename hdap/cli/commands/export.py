"""`hdap export`: a pruned network for other runtimes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options.shared_options import AsJson, Debug

if TYPE_CHECKING:
    from hdap.networks.checkpoint import Checkpoint
    from hdap.networks.exporting import Exported

NAME = "export"


def run(
    checkpoint: Annotated[Path, typer.Argument(help="A folder that hdap prune wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    kind: Annotated[
        str, typer.Option("--format", help="onnx, pt2 (torch.export) or torchscript.")
    ] = "onnx",
    opset: Annotated[
        int | None, typer.Option("--opset", min=1, help="Of ONNX.  [default: 18]")
    ] = None,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Any batch size instead of 1.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="package.module:factory, where the network needs your code."),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option("--level", min=0, help="The level, where the checkpoint is an elastic one."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write a pruned network as ONNX, a torch.export program or TorchScript.

    Its output is compared with torch's on random images before the file takes its place.
    """
    from hdap.cli.terminal.output import emit_json, say
    from hdap.fleet_data.atomic_files import require_free_file
    from hdap.fleet_data.errors import InputError

    if opset is not None and kind != "onnx":
        raise InputError(f"`--opset` is of ONNX alone, but got --format {kind}; leave it out")
    require_free_file(out, force)
    from hdap.networks.exporting import ExportOptions, export

    loaded = _load(checkpoint, model, level)
    say(f"exporting {loaded.manifest.model} to {kind}, comparing with torch")
    options = ExportOptions(dynamic_batch=dynamic_batch)
    if opset is not None:
        options = replace(options, opset=opset)
    done = export(loaded.module, loaded.manifest.input_shape, kind, out, options, force=force)
    emit_json(document(loaded, kind, done)) if as_json else show(kind, done)


def _load(checkpoint: Path, model: str | None, level: int | None) -> "Checkpoint":
    from hdap.elastic.elastic_checkpoint import load_elastic_checkpoint
    from hdap.fleet_data.errors import InputError
    from hdap.networks.checkpoint import Checkpoint, load_checkpoint
    from hdap.networks.manifest import ElasticManifest, read_manifest

    if level is None and isinstance(read_manifest(checkpoint), ElasticManifest):
        raise InputError(
            f"one level of an elastic network is exported, but {checkpoint} holds several; "
            "name one, the narrowest with --level 0"
        )
    if level is None:
        return load_checkpoint(checkpoint, model=model)
    elastic = load_elastic_checkpoint(checkpoint, model=model)
    return Checkpoint(elastic.model.materialise(level), elastic.manifest)


def document(loaded: "Checkpoint", kind: str, done: "Exported") -> dict[str, Any]:
    """The export as `--json` prints it."""
    return {
        "model": loaded.manifest.model,
        "format": kind,
        "files": [str(file) for file in done.files],
        "bytes": done.bytes,
        "batches_compared": done.batches,
        "max_relative_error": done.error,
    }


def show(kind: str, done: "Exported") -> None:
    """The export as a person reads it."""
    from hdap.cli.terminal.output import out

    batches = ", ".join(map(str, done.batches))
    out().print(
        f"[bold]{done.files[0]}[/bold]: {kind}, {done.bytes / 1e6:.1f} MB; largest relative error "
        f"against torch {done.error:.1e} on random batches of {batches}",
        soft_wrap=True,
    )
    for file in done.files[1:]:
        out().print(
            f"weights lie in {file}: ONNX files end at 2 GB; keep both together", soft_wrap=True
        )
