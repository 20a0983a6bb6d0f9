"""Weights for files that are only timed: many networks share one file of random numbers.

Latency does not depend on the weights' values as long as activations stay finite and normal, so a
bundle need not carry hundreds of megabytes a network. Each large tensor becomes a reference into
one file (ONNX external data with offset and length): to the runtime it is an ordinary constant,
folded, packed and laid out like any other. Tensors overlap in that file, so it is as large as the
largest tensor of each class.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from hdap.networks.onnx_files import keep_outside

FILE = "weights.bin"
_SMALLEST = 1024
"""Elements below which a tensor stays inside: not worth a reference."""

_PAGE = 4096
"""Offsets are multiples of this, so that runtimes may map the file into memory."""

_OCTAVES = 4
"""A class of fan-ins spans a factor of 2**4, so standard deviations are right within a factor of 2.

Signals then neither overflow nor fade to denormal numbers, which are slow on x86, in any depth
that float32 can follow: 2**60 after 60 layers all at the edge.
"""

_INT8 = -1
"""The key of tensors of int8, beside the classes of fan-ins."""

_INT8_DEVIATION = 40.0
"""The largest of some hundred normal numbers, about three deviations, becomes 127."""


def share_weights(models: Sequence[onnx.ModelProto], folder: Path, seed: int = 0) -> Path | None:
    """Point the large tensors of `models`, changed in place, into one file in `folder`.

    The numbers are normal: those of float32 with variance near 2 / fan-in (He et al. 2015, section
    2.2), those of int8 as a quantiser leaves such numbers, whose scales are each network's own.
    Returns the file, None where no tensor is large enough.
    """
    found = [t for model in models for t in model.graph.initializer if _large(t)]
    sizes: dict[int, int] = {}
    for tensor in found:
        key = _key(tensor)
        sizes[key] = max(sizes.get(key, 0), math.prod(tensor.dims))
    if not sizes:
        return None
    offsets = _write(folder / FILE, sizes, seed)
    for tensor in found:
        width = 1 if tensor.data_type == onnx.TensorProto.INT8 else 4
        keep_outside(tensor, FILE, offsets[_key(tensor)], width * math.prod(tensor.dims))
    return folder / FILE


def hollow(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without the numbers that `share_weights` replaces, changed in place."""
    for tensor in model.graph.initializer:
        if _large(tensor):
            for name in ("raw_data", "float_data", "int32_data"):
                tensor.ClearField(name)
    return model


def _large(tensor: onnx.TensorProto) -> bool:
    # One-dimensional ones stay: a variance must remain positive, a bias near what it was.
    return (
        tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT8)
        and len(tensor.dims) >= 2
        and math.prod(tensor.dims) >= _SMALLEST
    )


def _fan_in(tensor: onnx.TensorProto) -> int:
    if len(tensor.dims) == 2:
        # A transposed linear layer is told apart only by its use; the smaller side is the safe one.
        return int(max(2, min(tensor.dims[0], tensor.dims[1])))
    return max(2, int(math.prod(tensor.dims[1:])))


def _key(tensor: onnx.TensorProto) -> int:
    """Tensors of one key overlap in the file: a class of fan-ins, or int8."""
    if tensor.data_type == onnx.TensorProto.INT8:
        return _INT8
    return max(0, math.floor((math.log2(_fan_in(tensor)) - 1) / _OCTAVES))


def _write(path: Path, sizes: dict[int, int], seed: int) -> dict[int, int]:
    offsets: dict[int, int] = {}
    with path.open("wb") as file:
        for key, size in sorted(sizes.items()):
            offsets[key] = file.tell()
            rng = np.random.default_rng([seed, key] if key >= 0 else [seed, 0, 1])
            numbers = rng.standard_normal(size, dtype=np.float32)
            if key == _INT8:
                whole = np.clip(np.rint(_INT8_DEVIATION * numbers), -127, 127)
                file.write(whole.astype(np.int8).tobytes())
            else:
                middle = 2.0 ** (_OCTAVES * key + 1 + _OCTAVES / 2)
                file.write((numbers * math.sqrt(2 / middle)).astype("<f4").tobytes())
            file.write(bytes(-file.tell() % _PAGE))
    return offsets
