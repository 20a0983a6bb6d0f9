"""`hdap elastic deploy`: the levels of a trained elastic network as a folder for devices."""

from pathlib import Path
from typing import Annotated

import typer

from hdap.cli.options.shared_options import AsJson, Debug

NAME = "deploy"


def run(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint folder of `hdap elastic train`.", file_okay=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must be new.")],
    levels: Annotated[
        Path | None,
        typer.Option("--levels", help="levels.json for the controller on the device."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The factory, where the network is not one of timm."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write every level for ONNX Runtime over one weights file, with what runs and chooses them.

    The folder needs Python with onnxruntime and numpy on the device: controller.pyz opens the
    levels and chooses among them by the clock.
    """
    from dataclasses import asdict

    import numpy as np

    from hdap.cli.terminal.output import emit_json, line, next_steps
    from hdap.elastic import load_elastic
    from hdap.elastic.level_file import read_level_file
    from hdap.elastic.onnx_levels import write_levels
    from hdap.fleet_data.errors import InputError
    from hdap.networks.onnx_files import to_onnx

    elastic = load_elastic(checkpoint, model=model)
    architecture, rows = elastic.architecture, elastic.levels.counts
    known = None if levels is None else read_level_file(levels, architecture).counts
    if known is not None and not np.array_equal(known, rows):
        raise InputError(
            f"{levels} must hold the levels that {checkpoint} was trained with, but holds others; "
            f"give the file that went into training"
        )
    networks = [to_onnx(elastic.materialise(i), architecture.input_shape) for i in range(len(rows))]
    written = write_levels(out, networks, levels)
    if as_json:
        emit_json({"out": str(out), **asdict(written)})
        return
    line(
        f"{written.levels} levels in {out}: {written.bytes / 1e6:.1f} MB, "
        f"{written.bytes / written.widest_bytes:.2f}x the widest alone "
        f"(written apart {written.unshared_bytes / written.widest_bytes:.2f}x)"
    )
    if levels is not None:
        next_steps(f"python3 {out}/controller.pyz {out}/levels.json --cluster 0")
