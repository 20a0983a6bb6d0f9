"""ONNX, for most runtimes on devices."""

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import one_input
from hdap.fleet_data.atomic_files import write_file
from hdap.networks.counting import bytes_of
from hdap.networks.export_formats.base import ExportFormat, ExportOptions, Runner, Shape
from hdap.networks.onnx_files import to_onnx
from hdap.networks.quantisation.onnxruntime_quantiser import quantised_by_onnxruntime

PROTOBUF_LIMIT = 2**31 - 2**20
"""An ONNX file cannot pass 2 GiB; larger weights go to a second file beside it."""


class OnnxFormat(ExportFormat):
    """ONNX, run by ONNX Runtime on the CPU."""

    precisions = ("float32", "int8")

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        model = to_onnx(network, shape, opset=options.opset, dynamic_batch=options.dynamic_batch)
        if options.precision == "int8":
            model = quantised_by_onnxruntime(
                model, options.inputs(one_input(shape, "this one", "int8"))
            )
        if bytes_of(network) < PROTOBUF_LIMIT:
            write_file(file, model.SerializeToString(deterministic=True))
        else:
            onnx.save(model, file, save_as_external_data=True, location=f"{file.name}.data")

    def open(self, file: Path) -> Runner:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(file), settings, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]

        def run(*images: Tensor, **named: Tensor) -> Any:
            given = named or {"input": images[0]}
            feed = {name: tensor.numpy() for name, tensor in given.items()}
            outputs = map(torch.from_numpy, session.run(None, feed))
            found = dict(zip(names, outputs, strict=True))
            return found["output"] if names == ["output"] else found

        return run
