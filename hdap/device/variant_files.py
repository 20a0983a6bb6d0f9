"""The manifest of a portfolio's bundle, checked: what there is to serve."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hdap.device.checked_files import finite, inside, read_document, understood
from hdap.device.messages import DeviceError, choose

KIND, MANIFEST = "hdap portfolio", "portfolio.json"


@dataclass(frozen=True)
class Variant:
    """One network of a portfolio; `files` are name -> (bytes, SHA-256). See `portfolio.json`."""

    name: str
    files: Mapping[str, tuple[int, str]]
    parameters: int
    bytes: int
    flops: int
    kept_importance: float | None = None
    accuracy: float | None = None
    measured_here_ms: float | None = None


@dataclass(frozen=True)
class Portfolio:
    """A checked manifest; variants from the fastest to the most accurate; `shape` is an input's."""

    folder: str
    model: str
    input: str
    shape: tuple[int, ...]
    variants: tuple[Variant, ...]
    simulated: bool

    def index(self, name: str) -> int:
        """The place of a variant; raises `DeviceError`, which says the nearest name."""
        return choose("a variant", {x.name: i for i, x in enumerate(self.variants)}, name)


def read_portfolio(folder: str) -> Portfolio:
    """The manifest; raises `DeviceError`. The networks are checked when they are opened."""
    path = os.path.join(folder, MANIFEST)
    document = read_document(path, KIND, "`hdap portfolio build`")
    with understood(path, "build again"):
        variants = tuple(_variant(folder, entry) for entry in document["variants"])
        shape = tuple(int(x) for x in document["input"]["shape"])
        name, model = str(document["input"]["name"]), str(document["model"])
        if min(shape, default=0) < 1 or len(shape) > 4:
            raise ValueError(f"its shape is {' x '.join(map(str, shape))}")
    if not variants or len({variant.name for variant in variants}) != len(variants):
        raise DeviceError(f"{path} must name one variant or more, each once; build again")
    return Portfolio(folder, model, name, shape, variants, bool(document.get("simulated")))


def _variant(folder: str, entry: dict[str, Any]) -> Variant:
    files = {n: (int(x["bytes"]), str(x["sha256"])) for n, x in entry["files"].items()}
    for name in files:
        inside(folder, name)
        if os.path.basename(name) != name:
            raise ValueError("a file of a variant lies beside the manifest")
    if f"{entry['name']}.onnx" not in files:
        raise ValueError(f"{entry['name']}.onnx is not among its files")
    numbers = [entry.get(n) for n in ("kept_importance", "accuracy", "measured_here_ms")]
    kept, accuracy, ms = (None if x is None else finite(x) for x in numbers)
    size, cost = int(entry["bytes"]), int(entry["flops"])
    return Variant(
        str(entry["name"]), files, int(entry["parameters"]), size, cost, kept, accuracy, ms
    )
