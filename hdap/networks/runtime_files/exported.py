"""Networks as `hdap export` writes them, each with weights of its own."""

from typing import ClassVar

from torch import nn

from hdap.networks.export_formats.base import ExportFormat, ExportOptions, optional
from hdap.networks.export_formats.executorch_format import ExecuTorchFormat
from hdap.networks.export_formats.litert_format import LiteRtFormat, converter_python
from hdap.networks.export_formats.pt2_format import Pt2Format
from hdap.networks.runtime_files.base import RuntimeFiles


class ExportedFiles(RuntimeFiles):
    """One file a network: these formats keep no weights elsewhere."""

    format: ClassVar[ExportFormat]

    def write(self, network: nn.Module, stem: str) -> None:
        options = ExportOptions(precision=self.wanted.precision)
        self.format.write(network.eval(), self.wanted.shape, options, self.file(stem))


class TorchFiles(ExportedFiles):
    """By `torch.export`."""

    suffix, format = ".pt2", Pt2Format()


class LiteRtFiles(ExportedFiles):
    """By litert-torch."""

    suffix, format = ".tflite", LiteRtFormat()

    def check_ready(self) -> None:
        converter_python()


class ExecuTorchFiles(ExportedFiles):
    """By ExecuTorch with XNNPACK's partitioner."""

    suffix, format = ".pte", ExecuTorchFormat()

    def check_ready(self) -> None:
        optional("executorch.exir", "executorch")
