"""What `torch.export` writes."""

import io
from pathlib import Path

import torch
from torch import nn

from hdap.fleet_data.atomic_files import write_file
from hdap.networks.export_formats.base import ExportFormat, ExportOptions, Runner, Shape, followed
from hdap.networks.forward_pass import as_arguments, batches_of, zeros


class Pt2Format(ExportFormat):
    """`torch.export`: a graph that torch and its compilers read; nothing in it is pickled code."""

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        batch = {0: torch.export.Dim("batch", min=1)} if options.dynamic_batch else None
        args, named = as_arguments(zeros(shape, 2 if batch else 1))
        with followed("torch.export"):
            program = torch.export.export(
                network, args, named, dynamic_shapes=batches_of(shape, batch) if batch else None
            )
            # Through memory: on a full disk torch's own writer ends the process.
            content = io.BytesIO()
            torch.export.save(program, content)
        write_file(file, content.getvalue())

    def open(self, file: Path) -> Runner:
        runner: Runner = torch.export.load(file).module()
        return runner
