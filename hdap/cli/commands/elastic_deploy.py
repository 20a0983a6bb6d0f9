"""`hdap elastic deploy`: the levels of a trained elastic network as a folder for devices."""

import shlex
from dataclasses import asdict

import numpy as np

from hdap.cli.settings.training_commands import ElasticDeployCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import emit_json, line
from hdap.elastic import load_elastic
from hdap.elastic.level_file import read_level_file
from hdap.elastic.onnx_levels import write_levels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import counted, megabytes, times
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
        f"{counted(written.levels, 'level')} in {out}: {megabytes(written.bytes)}, "
        f"{times(written.bytes / written.widest_bytes)} the widest alone "
        f"(written apart {times(written.unshared_bytes / written.widest_bytes)})"
    )
    if levels is not None:
        script, file = (shlex.quote(str(out / name)) for name in ("controller.pyz", "levels.json"))
        next_steps(f"python3 {script} {file} --cluster 0")
