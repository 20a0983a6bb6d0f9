"""int8 for ONNX Runtime: `onnxruntime.quantization`, static, as QDQ.

Weights are int8 a channel, activations uint8, as ONNX Runtime advises for x86 and ARM. Without VNNI
its products of pairs saturate at 16 bits; whether that hurts a network is what comparing it with
torch is for.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization
from torch import Tensor

from hdap.fleet_data.errors import UnsupportedModelError, told
from hdap.networks.quantisation.silence import silent


class _Inputs(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, inputs: Sequence[Tensor]) -> None:
        self._left = iter([{name: one.numpy()} for one in inputs])

    def get_next(self) -> Any:
        return next(self._left, None)


def quantised_by_onnxruntime(model: onnx.ModelProto, inputs: Sequence[Tensor]) -> onnx.ModelProto:
    """`model` with int8 in place of float32 wherever ONNX Runtime quantises.

    Raises `UnsupportedModelError` where its quantiser fails.
    """
    with tempfile.TemporaryDirectory() as folder, silent():
        source, made = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)
        try:
            quantization.quantize_static(
                source,
                made,
                _Inputs(model.graph.input[0].name, inputs),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except Exception as error:  # of no common kind
            raise UnsupportedModelError(
                f"onnxruntime must be able to quantise the network, but {told(error)}; "
                "try another --format or --precision float32"
            ) from error
        return onnx.load(made)
