"""OpenVINO's own files: a `.xml`, and its weights in the `.bin` beside it."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hdap.device.runtimes.openvino_runtime import the_core
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
from hdap.networks.onnx_files import to_onnx
from hdap.networks.quantisation.nncf_quantiser import quantised_by_nncf

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}
"""What is compared with torch is the file, and not what a processor makes of it."""


class OpenVinoFormat(ExportFormat):
    """Through ONNX, which OpenVINO's frontend converts; `float16` is of the stored weights."""

    suffix = ".xml"
    companions = (".bin",)
    precisions = ("float32", "float16", "int8")

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        only = one_input(shape, "this one", "OpenVINO")
        openvino = optional("openvino", "openvino")
        onnx_model = to_onnx(network, only, dynamic_batch=options.dynamic_batch)
        # beside the file: where that cannot be written, this says so first
        between = file.with_suffix(".onnx")
        write_file(between, onnx_model.SerializeToString(deterministic=True))
        with followed("openvino"):
            model = the_core(openvino).read_model(between)
            if options.precision == "int8":
                name = onnx_model.graph.input[0].name
                model = quantised_by_nncf(model, name, options.inputs(only))
            openvino.save_model(model, file, compress_to_fp16=options.precision == "float16")
        del model  # it maps the file
        between.unlink()

    def open(self, file: Path) -> Runner:
        openvino = optional("openvino", "openvino")
        compiled = the_core(openvino).compile_model(file, "CPU", SETTINGS)
        names = [output.get_any_name() for output in compiled.outputs]

        def run(images: Tensor) -> Any:
            found = compiled([images.numpy()])
            return by_name(names, [found[i].copy() for i in range(len(names))])

        return run
