"""`manifest.json` of a bundle: the networks that a device measures, and what they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from hdap.fleet_data.documents import JsonDocument, Positive
from hdap.fleet_data.model_names import MOST_DIMENSIONS

Role = Literal["reference", "anchor", "candidate"]
Weights = Literal["generated", "own"]
BatchShape = Annotated[
    tuple[Positive, ...], msgspec.Meta(min_length=2, max_length=1 + MOST_DIMENSIONS)
]


@dataclass(frozen=True)
class BundleFile:
    """A file of the bundle; `bytes` is its size."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class BundleNetwork(BundleFile):
    """A network: its configuration as canonical text, and what it is measured for."""

    channels: str
    role: Role
    flops: int
    parameters: int


@dataclass(frozen=True)
class MeasuringBundle(JsonDocument):
    """All networks of one model, the dense reference first, and the files that they share.

    `input_shape` begins with the batch, as in 1 x 3 x 224 x 224; `baseline_ms` are reference
    latencies (ms) by device where they are known. `runtime` reads the files, and computes in
    `precision` on a `provider` of it, unless the device is told otherwise.
    """

    WHAT = "the manifest of a bundle made by `hdap plan`"
    REMEDY = "give the manifest.json of a bundle that `hdap plan` or `hdap verify` wrote"
    FORMAT = 1

    bundle: str
    model: str
    architecture: str
    input_shape: BatchShape
    weights: Weights
    opset: int
    made_with: Mapping[str, str]
    baseline_ms: Mapping[str, float]
    shared: tuple[BundleFile, ...]
    configurations: tuple[BundleNetwork, ...]
    runtime: str = "onnxruntime"
    precision: str = "float32"
    provider: str = "cpu"
    threads: int = 1
