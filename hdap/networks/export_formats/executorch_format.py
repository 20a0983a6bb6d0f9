"""ExecuTorch: a `.pte` whose layers XNNPACK runs."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import one_input
from hdap.fleet_data.atomic_files import write_file
from hdap.networks.export_formats.base import (
    ExportFormat,
    ExportOptions,
    Runner,
    Shape,
    by_name,
    followed,
    optional,
)
from hdap.networks.forward_pass import named_leaves, run_once

XNNPACK = "executorch.backends.xnnpack"


class ExecuTorchFormat(ExportFormat):
    """By `torch.export` and XNNPACK's partitioner; int8 by PT2E with XNNPACK's own quantiser."""

    suffix = ".pte"
    precisions = ("float32", "int8")
    any_batch = False

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        only = one_input(shape, "this one", "ExecuTorch")
        exir = optional("executorch.exir", "executorch")
        partition = optional(f"{XNNPACK}.partition.xnnpack_partitioner", "executorch")
        example = (torch.zeros(1, *only),)
        names = tuple(named_leaves(run_once(network, only)))
        with followed("executorch"):
            program = torch.export.export(network, example)
            if options.precision == "int8":
                quantised = _quantised(program.module(), options.inputs(only))
                program = torch.export.export(quantised, example)
            lowered = exir.to_edge_transform_and_lower(
                program,
                partitioner=[partition.XnnpackPartitioner()],
                # outputs have no names in a `.pte`
                constant_methods={NAMES: "\n".join(names)},
            )
            content = bytes(lowered.to_executorch().buffer)
        write_file(file, content)

    def open(self, file: Path) -> Runner:
        runtime = optional("executorch.runtime", "executorch").Runtime.get()
        program = runtime.load_program(file)
        method = program.load_method("forward")
        names = str(program.load_method(NAMES).execute([])[0]).split("\n")

        def run(images: Tensor) -> Any:
            found = method.execute([images])
            return by_name(names, [one.clone() for one in found])

        return run


NAMES = "output_names"
"""A method of the program that gives the names of the outputs, a line each."""


def _quantised(program: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    pt2e = optional("torchao.quantization.pt2e.quantize_pt2e", "executorch")
    xnnpack = optional(f"{XNNPACK}.quantizer.xnnpack_quantizer", "executorch")
    settings = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    prepared = pt2e.prepare_pt2e(program, xnnpack.XNNPACKQuantizer().set_global(settings))
    with torch.no_grad():
        for one in inputs:
            prepared(one)
    quantised: nn.Module = pt2e.convert_pt2e(prepared)
    return quantised
