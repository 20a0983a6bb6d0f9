"""ncnn: a `.param` for each network, and no weights where they need not be the network's own.

ncnn's own benchncnn times networks so, all weights being zero: a product takes as long, and in int8
no calibration is needed.
"""

from torch import nn

from hdap.networks.export_formats.base import ExportOptions, OutputsInOrder
from hdap.networks.forward_pass import named_leaves, run_once
from hdap.networks.ncnn_files import NcnnModel, pnnx, to_ncnn
from hdap.networks.quantisation.ncnn_quantiser import in_int8, quantised_for_ncnn
from hdap.networks.runtime_files.base import RuntimeFiles


class NcnnFiles(RuntimeFiles):
    """By pnnx."""

    suffix = ".param"

    def check_ready(self) -> None:
        pnnx()

    def write(self, network: nn.Module, stem: str) -> None:
        shape = self.wanted.shape
        names = tuple(named_leaves(run_once(network, shape)))
        made = to_ncnn(OutputsInOrder(network).eval(), shape, names)
        own = self.wanted.weights == "own"
        if self.wanted.precision == "int8":
            inputs = ExportOptions().inputs(shape)
            layers = in_int8(made.layers)
            made = quantised_for_ncnn(made, inputs) if own else NcnnModel(layers, b"")
        self.file(stem).write_text(made.text(), encoding="utf-8")
        if own:
            self.file(stem).with_suffix(".bin").write_bytes(made.weights)
