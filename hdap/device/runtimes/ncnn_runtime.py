"""ncnn: a `.param`, and its weights in the `.bin` beside it.

Without a `.bin` every weight is zero, as in ncnn's own benchncnn: for latency only. ncnn leaves the
batch out of shapes; here it is 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import OpenNetwork, Runtime, check_there, no_network, only_cpu

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image

MAGIC = "7767517"
"""The first line of every `.param`."""
SIZES = ("2", "11", "1", "0")
"""Parameters of the layer `Input`: channels, depth, height, width."""


class NcnnNetwork(OpenNetwork):
    """One `Net`; an extractor of its own for each run. `outputs` are named in their order."""

    def __init__(self, package: Any, net: Any, shape: tuple[int, ...]) -> None:
        self._package, self._net, self.shape = package, net, shape
        self._input, self.outputs = net.input_names()[0], tuple(net.output_names())

    def run(self, image: Image) -> Sequence[Image]:
        """See `OpenNetwork`."""
        with self._net.create_extractor() as extractor:
            # kept by name: the Mat points into the array
            one = np.ascontiguousarray(image[0])
            extractor.input(self._input, self._package.Mat(one))
            return [self._output(extractor, name) for name in self.outputs]

    def _output(self, extractor: Any, name: str) -> Image:
        status, found = extractor.extract(name)
        if status != 0:
            raise DeviceError(f"ncnn must run the network, but {name} failed with {status}")
        return np.array(found)[None]


class NcnnRuntime(Runtime):
    """On the CPU; `float16` and `bfloat16` store weights and activations in them."""

    name = "ncnn"
    suffix = ".param"
    companion = ".bin"
    precisions = ("float32", "float16", "bfloat16", "int8")
    package = "ncnn"

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        self._package = self.imported("ncnn")
        only_cpu(provider)
        super().__init__(threads, "cpu", precision)

    @property
    def version(self) -> str:
        """Of ncnn: the day it was made."""
        return str(self._package.__version__)

    def open(self, path: str) -> NcnnNetwork:
        """Read the `.param` and, where there is one, the `.bin`."""
        shape = _input_shape(path)
        net = self._package.Net()
        self._set(net.opt)
        weights = os.path.splitext(path)[0] + self.companion
        empty = self._package.DataReaderFromEmpty()
        failed = net.load_param(path)
        if not failed:
            failed = net.load_model(weights if os.path.exists(weights) else empty)
        if failed:
            raise no_network(path, "ncnn", ValueError(f"loading it failed with {failed}"))
        return NcnnNetwork(self._package, net, shape)

    def _set(self, options: Any) -> None:
        options.num_threads = self.threads
        half, brain = self.precision == "float16", self.precision == "bfloat16"
        for name in ("packed", "storage", "arithmetic"):
            setattr(options, f"use_fp16_{name}", half)
        options.use_bf16_packed = options.use_bf16_storage = brain
        options.use_int8_inference = self.precision == "int8"


def _input_shape(path: str) -> tuple[int, ...]:
    """Of the only input, batch first; raises `DeviceError` where `path` is no such `.param`."""
    check_there(path)
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise no_network(path, "ncnn", ValueError(f"its first line is not {MAGIC}"))
    inputs = [words for words in map(str.split, lines[2:]) if words[:1] == ["Input"]]
    told = dict(word.split("=", 1) for word in inputs[0][5:] if "=" in word) if inputs else {}
    sizes = tuple(int(told[key]) for key in SIZES if told.get(key, "0").isdigit() and key in told)
    if len(inputs) != 1 or not sizes or min(sizes) < 1:
        raise no_network(path, "ncnn", ValueError("it does not say the shape of its only Input"))
    return (1, *sizes)
