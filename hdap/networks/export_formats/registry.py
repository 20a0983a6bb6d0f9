"""The export formats by name. A new one is a file beside this one and a line in `FORMATS`."""

from hdap.fleet_data.plugins import Registry
from hdap.networks.export_formats.base import ExportFormat
from hdap.networks.export_formats.executorch_format import ExecuTorchFormat
from hdap.networks.export_formats.litert_format import LiteRtFormat
from hdap.networks.export_formats.ncnn_format import NcnnFormat
from hdap.networks.export_formats.onnx_format import OnnxFormat
from hdap.networks.export_formats.openvino_format import OpenVinoFormat
from hdap.networks.export_formats.pt2_format import Pt2Format
from hdap.networks.export_formats.torchscript_format import TorchScriptFormat

FORMATS: Registry[ExportFormat] = Registry(
    "the export format",
    "export_formats",
    {
        "onnx": OnnxFormat(),
        "openvino": OpenVinoFormat(),
        "ncnn": NcnnFormat(),
        "litert": LiteRtFormat(),
        "executorch": ExecuTorchFormat(),
        "pt2": Pt2Format(),
        "torchscript": TorchScriptFormat(),
    },
)
