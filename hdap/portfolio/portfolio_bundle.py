"""The bundle of a portfolio: its networks as ONNX files, `portfolio.json`, and what swaps them.

    {"format": 1, "kind": "hdap portfolio", "digest": "<SHA-256 of the rest>", "portfolio": 3,
     "model": "resnet50", "architecture": "<digest>", "simulated": false,
     "input": {"name": "input", "shape": [3, 224, 224]}, "classes": 1000,
     "variants": [{"name": "v0", "files": {"v0.onnx": {"bytes": 1, "sha256": "..."}},
                   "parameters": 1, "bytes": 1, "flops": 1, "kept_importance": 0.5,
                   "accuracy": 0.97, "measured_here_ms": 1.2, "channels": "conv1=32",
                   "fleet_mean_ms": {"predicted": 1.0, "low": 0.9, "high": 1.1},
                   "latency_ms": {"0": {"predicted": 1.0, "low": 0.9, "high": 1.1,
                                        "measured": null}},
                   "provenance": {"from": "flops", ...}}, ...]}

`portfolio` is its number in the database. Variants stand from the fastest to the most accurate,
FLOPs ascending. Latencies are ms, those of `latency_ms` by cluster; what is unknown is null.
Networks take a batch of 1, float32.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdap.device.controller import DeviceError
from hdap.device.switcher_file import switcher_source
from hdap.device.variant_files import KIND, MANIFEST, Checker, Portfolio, read_portfolio
from hdap.elastic.level_file import file_digest
from hdap.fleet_data.atomic_files import write_file
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord

FORMAT = 1
SWITCHER = "switcher.py"
OPTIMISED = "optimised"
"""Where the switcher keeps networks in a machine's own order, unless told otherwise."""

Files = Mapping[str, Mapping[str, Any]]
"""Name -> {"bytes": ..., "sha256": ...}."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are as they were written; `document` is all of `portfolio.json`."""

    portfolio: Portfolio
    document: Mapping[str, Any]


@dataclass(frozen=True)
class BundleShape:
    """What the networks of a bundle take and give: C x H x W, and so many classes."""

    input_shape: tuple[int, int, int]
    classes: int


def file_entries(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and hash of each file, by name."""
    found = {}
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
    return found


def bundle_document(
    record: PortfolioRecord, shape: BundleShape, files: Mapping[str, Files]
) -> dict[str, Any]:
    """The content of `portfolio.json`; `files` are those of each variant."""
    rest: dict[str, Any] = {
        "format": FORMAT,
        "kind": KIND,
        "portfolio": record.id,
        "model": record.model,
        "architecture": record.architecture_digest,
        "simulated": record.simulated,
        "input": {"name": "input", "shape": list(shape.input_shape)},
        "classes": shape.classes,
        "variants": [_variant(one, files[one.variant]) for one in record.variants],
    }
    return rest | {"digest": file_digest(rest)}


def write_rest(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the manifest and the switcher beside networks that are there."""
    write_file(folder / SWITCHER, switcher_source().encode())
    write_file(folder / MANIFEST, (json.dumps(document, indent=1) + "\n").encode())


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and compare every file with its hash.

    Raises InputError, in one line, for a folder that holds no bundle, a manifest that was cut or
    changed, and a file that was, which is named with both hashes.
    """
    try:
        portfolio, checker = read_portfolio(str(folder)), Checker()
        for variant in portfolio.variants:
            checker.check(str(folder), variant.files)
    except DeviceError as problem:
        raise InputError(str(problem)) from problem
    return Bundle(portfolio, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def bundle_files(folder: Path) -> frozenset[str]:
    """Names that a new bundle may replace in `folder`: those of the bundle that is there.

    Files that only a running switcher made are among them.
    """
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        named = [name for variant in document["variants"] for name in variant["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        named = []
    return frozenset({MANIFEST, SWITCHER, OPTIMISED, *named})


def _variant(record: VariantRecord, files: Files) -> dict[str, Any]:
    figures = ("kept_importance", "accuracy", "measured_here_ms")
    mean = (record.fleet_mean_ms, record.fleet_mean_low_ms, record.fleet_mean_high_ms)
    return {
        "name": record.variant,
        "files": {name: dict(entry) for name, entry in files.items()},
        "channels": record.channels,
        "parameters": record.parameters,
        "bytes": record.bytes,
        "flops": record.flops,
        **{name: _or_none(getattr(record, name)) for name in figures},
        "fleet_mean_ms": dict(zip(("predicted", "low", "high"), map(_or_none, mean), strict=True)),
        "latency_ms": {str(one.cluster): _latency(one) for one in record.clusters},
        "provenance": dict(record.provenance),
    }


def _latency(cluster: VariantClusterRecord) -> dict[str, float | None]:
    return {
        "predicted": _or_none(cluster.predicted_ms),
        "low": _or_none(cluster.predicted_low_ms),
        "high": _or_none(cluster.predicted_high_ms),
        "measured": _or_none(cluster.measured_ms),
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
