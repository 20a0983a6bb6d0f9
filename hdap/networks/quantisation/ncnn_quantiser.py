"""int8 for ncnn, in the form that its `ncnn2table` and `ncnn2int8` write.

Those are programs in C++ that no package brings, and they read images from files; this takes any
input. A layer's weights get a scale for each output channel, its input one scale, each 127 over the
largest magnitude: of the weights, and of what calibration saw. Only products are quantised.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.fleet_data.records import Floats
from hdap.networks.export_formats.base import optional
from hdap.networks.ncnn_files import NcnnLayer, NcnnModel

QUANTISED = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}
"""Layers that have int8 kernels, with the value of their parameter 8 (`int8_scale_term`)."""
NO_WEIGHTS = {
    "BinaryOp", "Clip", "Concat", "Dropout", "Flatten", "GELU", "HardSigmoid", "HardSwish", "Input",
    "Interp", "Noop", "Padding", "Permute", "Pooling", "ReLU", "Reshape", "Sigmoid", "Slice",
    "Softmax", "Split", "Swish", "TanH", "UnaryOp", "Reduction", "ShuffleChannel", "ExpandDims",
    "Squeeze", "Pooling1D", "Mish", "ELU", "Crop",
}  # fmt: skip
"""Layers that take nothing from the `.bin`."""
_INT8 = np.uint32(0x000D4B38).tobytes()
"""What stands before int8 in a `.bin`; float32 has zeros there."""
_LARGEST = 127.0


def in_int8(layers: Sequence[NcnnLayer]) -> tuple[NcnnLayer, ...]:
    """The layers of a network marked as int8 where ncnn has such kernels."""
    return tuple(
        replace(one, parameters=(*one.parameters, f"8={QUANTISED[one.kind]}"))
        if one.kind in QUANTISED
        else one
        for one in layers
    )


def quantised_for_ncnn(network: NcnnModel, inputs: Sequence[Tensor]) -> NcnnModel:
    """`network`, which is of float32, in int8.

    Raises `UnsupportedModelError` for one with weights in other layers than products, whose length
    in the `.bin` is not known here.
    """
    strange = {layer.kind for layer in network.layers} - NO_WEIGHTS - set(QUANTISED)
    if strange:
        raise UnsupportedModelError(
            f"int8 for ncnn is made of networks whose weights lie in convolutions and linear "
            f"layers, but this has {', '.join(sorted(strange))}; use --precision float32"
        )
    largest = _largest_inputs(network, inputs)
    parts, place = [], 0
    for layer in network.layers:
        if layer.kind in QUANTISED:
            part, place = _quantised(layer, network.weights, place, largest[layer.inputs[0]])
            parts.append(part)
    return NcnnModel(in_int8(network.layers), b"".join(parts))


def _quantised(layer: NcnnLayer, weights: bytes, place: int, largest: float) -> tuple[bytes, int]:
    """A layer's part of the `.bin` in int8, and where the next layer's begins in float32."""
    linear = layer.kind == "InnerProduct"
    size = layer.number(2) if linear else layer.number(6)
    bias = layer.number(0) if layer.number(1 if linear else 5) else 0
    rows = layer.number(7, 1) if layer.kind == "ConvolutionDepthWise" else layer.number(0)
    place += 4  # zeros: float32 follows
    matrix = np.frombuffer(weights, "<f4", size, place).reshape(rows, -1)
    place += 4 * size
    biases = weights[place : place + 4 * bias]
    scales = _scale(np.abs(matrix).max(axis=1))
    rounded = np.clip(np.rint(matrix * scales[:, None]), -_LARGEST, _LARGEST).astype(np.int8)
    packed = rounded.tobytes()
    parts = (
        _INT8,
        packed,
        bytes(-len(packed) % 4),
        biases,
        scales.astype("<f4").tobytes(),
        _scale(np.array([largest])).astype("<f4").tobytes(),
    )
    return b"".join(parts), place + 4 * bias


def _scale(largest: NDArray[Any]) -> Floats:
    # what is zero everywhere stays zero at any scale
    return np.where(largest > 0, _LARGEST / np.maximum(largest, 1e-30), 1.0)


def _largest_inputs(network: NcnnModel, inputs: Sequence[Tensor]) -> dict[str, float]:
    """The largest magnitude that calibration saw in what each quantised layer reads."""
    blobs = {layer.inputs[0] for layer in network.layers if layer.kind in QUANTISED}
    found = dict.fromkeys(blobs, 0.0)
    for name, largest in _seen(network, sorted(blobs), inputs):
        found[name] = max(found[name], largest)
    return found


def _seen(
    network: NcnnModel, blobs: Sequence[str], inputs: Sequence[Tensor]
) -> Iterator[tuple[str, float]]:
    ncnn = optional("ncnn", "ncnn")
    with TemporaryDirectory(prefix="hdap-ncnn-") as folder:
        text, weights = Path(folder, "net.param"), Path(folder, "net.bin")
        text.write_text(network.text(), encoding="utf-8")
        weights.write_bytes(network.weights)
        net = ncnn.Net()
        net.opt.lightmode = False  # else what was read is given back at once
        for name in ("packed", "storage", "arithmetic"):
            setattr(net.opt, f"use_fp16_{name}", False)
        if net.load_param(str(text)) or net.load_model(str(weights)):
            raise UnsupportedModelError("ncnn must read what pnnx wrote, but does not")
        for one in inputs:
            image = np.ascontiguousarray(one[0].numpy())
            with net.create_extractor() as extractor:
                extractor.input("input", ncnn.Mat(image))
                for blob in blobs:
                    yield blob, float(np.abs(np.array(extractor.extract(blob)[1])).max())
