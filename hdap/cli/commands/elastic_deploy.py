"""`hdap elastic deploy`: the levels of a trained elastic network as a folder for devices."""

from dataclasses import asdict

import numpy as np

from hdap.cli.settings.training_commands import ElasticDeployCommand
from hdap.cli.terminal.output import emit_json, line, next_steps
from hdap.elastic import load_elastic
from hdap.elastic.level_file import read_level_file
from hdap.elastic.onnx_levels import write_levels
from hdap.fleet_data.errors import InputError
from hdap.networks.onnx_files import to_onnx


def run(asked: ElasticDeployCommand) -> None:
    """Write the folder and print what is in it."""
    out, levels = asked.out, asked.levels
    elastic = load_elastic(asked.checkpoint, model=asked.model)
    architecture, rows = elastic.architecture, elastic.levels.counts
    known = None if levels is None else read_level_file(levels, architecture).counts
    if known is not None and not np.array_equal(known, rows):
        raise InputError(
            f"{levels} must hold the levels that {asked.checkpoint} was trained with, but holds "
            "others; give the file that went into training"
        )
    networks = [to_onnx(elastic.materialise(i), architecture.input_shape) for i in range(len(rows))]
    written = write_levels(out, networks, levels)
    if asked.as_json:
        emit_json({"out": str(out), **asdict(written)})
        return
    line(
        f"{written.levels} levels in {out}: {written.bytes / 1e6:.1f} MB, "
        f"{written.bytes / written.widest_bytes:.2f}x the widest alone "
        f"(written apart {written.unshared_bytes / written.widest_bytes:.2f}x)"
    )
    if levels is not None:
        next_steps(f"python3 {out}/controller.pyz {out}/levels.json --cluster 0")
