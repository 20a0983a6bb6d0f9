"""ONNX with one file of weights for all networks: for ONNX Runtime, and for OpenVINO, whose
frontend converts it when it is opened."""

from abc import abstractmethod
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

from hdap.networks.export_formats.base import ExportOptions, optional
from hdap.networks.hollow_weights import hollow, share_weights
from hdap.networks.onnx_files import to_onnx
from hdap.networks.quantisation.nncf_quantiser import quantised_by_nncf
from hdap.networks.quantisation.onnxruntime_quantiser import quantised_by_onnxruntime
from hdap.networks.runtime_files.base import FilesWanted, RuntimeFiles


class SharedOnnxFiles(RuntimeFiles):
    """Networks whose large tensors are references into one file, where they are generated."""

    suffix = ".onnx"
    any_batch = True

    def __init__(self, wanted: FilesWanted) -> None:
        super().__init__(wanted)
        # The shared file's size is known at the end; until then only shapes are kept.
        self._kept: dict[str, onnx.ModelProto] = {}

    @abstractmethod
    def quantised(self, model: onnx.ModelProto, inputs: Sequence[Tensor]) -> onnx.ModelProto:
        """`model` in int8."""

    def write(self, network: nn.Module, stem: str) -> None:
        model = to_onnx(network, self.wanted.shape, self.wanted.batch_size)
        if self.wanted.precision == "int8":
            one = ExportOptions().inputs(self.wanted.shape)[0]
            model = self.quantised(model, [torch.cat([one] * self.wanted.batch_size)])
        if self.wanted.weights == "own":
            onnx.save(model, self.file(stem))
        else:
            self._kept[stem] = hollow(model)

    def finish(self) -> None:
        if self._kept:
            share_weights(list(self._kept.values()), self.wanted.folder)
        for stem, model in self._kept.items():
            self.file(stem).write_bytes(model.SerializeToString(deterministic=True))


class OnnxRuntimeFiles(SharedOnnxFiles):
    """int8 by `onnxruntime.quantization`."""

    def quantised(self, model: onnx.ModelProto, inputs: Sequence[Tensor]) -> onnx.ModelProto:
        return quantised_by_onnxruntime(model, inputs)


class OpenVinoFiles(SharedOnnxFiles):
    """int8 by NNCF."""

    def check_ready(self) -> None:
        if self.wanted.precision == "int8":
            optional("nncf", "openvino")

    def quantised(self, model: onnx.ModelProto, inputs: Sequence[Tensor]) -> onnx.ModelProto:
        name = model.graph.input[0].name
        return quantised_by_nncf(model, name, inputs, correct_biases=False)
