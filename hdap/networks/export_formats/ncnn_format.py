"""ncnn's own files: a `.param`, and its weights in the `.bin` beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from hdap.device.runtimes.ncnn_runtime import NcnnRuntime
from hdap.fleet_data.architecture import one_input
from hdap.fleet_data.atomic_files import write_file
from hdap.networks.export_formats.base import (
    ExportFormat,
    ExportOptions,
    OutputsInOrder,
    Runner,
    Shape,
    by_name,
    optional,
)
from hdap.networks.forward_pass import named_leaves, run_once
from hdap.networks.ncnn_files import to_ncnn
from hdap.networks.quantisation.ncnn_quantiser import quantised_for_ncnn


class NcnnFormat(ExportFormat):
    """By pnnx; `float16` is of the stored weights, int8 as ncnn's tables give it."""

    suffix = ".param"
    companions = (".bin",)
    precisions = ("float32", "float16", "int8")
    any_batch = False

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        only = one_input(shape, "this one", "ncnn")
        optional("ncnn", "ncnn")
        names = tuple(named_leaves(run_once(network, only)))
        half = options.precision == "float16"
        made = to_ncnn(OutputsInOrder(network).eval(), only, names, half=half)
        if options.precision == "int8":
            made = quantised_for_ncnn(made, options.inputs(only))
        write_file(file, made.text().encode())
        write_file(file.with_suffix(".bin"), made.weights)

    def open(self, file: Path) -> Runner:
        precision = "int8" if " 8=" in file.read_text(encoding="utf-8") else "float32"
        network = NcnnRuntime(precision=precision).open(str(file))
        names = network.outputs

        def run(images: Tensor) -> Any:
            return by_name(names, [np.copy(one) for one in network.run(images.numpy())])

        return run
