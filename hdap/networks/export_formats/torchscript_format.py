"""TorchScript, as `torch.jit` traces it."""

import io
from pathlib import Path

import torch
from torch import nn

from hdap.fleet_data.atomic_files import write_file
from hdap.networks.export_formats.base import ExportFormat, ExportOptions, Runner, Shape, followed
from hdap.networks.forward_pass import as_arguments, quiet, zeros


class TorchScriptFormat(ExportFormat):
    """A trace for C++ and mobile builds of torch."""

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        args, named = as_arguments(zeros(shape, 2 if options.dynamic_batch else 1))
        with followed("torch.jit"), torch.no_grad():
            script = torch.jit.trace(  # type: ignore[no-untyped-call]
                network,
                args or None,
                example_kwarg_inputs=named or None,
                check_trace=False,
                strict=False,
            )
            content = io.BytesIO()
            torch.jit.save(script, content)
        write_file(file, content.getvalue())

    def open(self, file: Path) -> Runner:
        with quiet():
            script = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
        runner: Runner = script.eval()
        return runner
