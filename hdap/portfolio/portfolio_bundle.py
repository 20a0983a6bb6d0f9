"""The bundle of a portfolio: its networks as ONNX files, `portfolio.json`, and what swaps them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdap.device.archive import program
from hdap.device.checked_files import FileChecker
from hdap.device.messages import DeviceError
from hdap.device.sessions import OPTIMISED
from hdap.device.variant_files import KIND, MANIFEST, Portfolio, read_portfolio
from hdap.fleet_data.architecture import InputShape
from hdap.fleet_data.atomic_files import sha256_of, write_file
from hdap.fleet_data.documents import JsonDocument, read_document, write_document
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord

SWITCHER = "switcher.pyz"


@dataclass(frozen=True)
class FileEntry:
    """Size and hash of a file of a variant."""

    bytes: int
    sha256: str


Files = Mapping[str, FileEntry]
"""By name."""


@dataclass(frozen=True)
class Latency:
    """Predicted, with its 90 % interval, ms."""

    predicted: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ClusterLatency(Latency):
    """Likewise on a cluster's typical device, and measured."""

    measured: float | None = None


@dataclass(frozen=True)
class VariantEntry:
    """A network; `channels` is its configuration as text, `latency_ms` by cluster."""

    name: str
    files: Files
    channels: str
    parameters: int
    bytes: int
    flops: int
    kept_importance: float | None
    accuracy: float | None
    measured_here_ms: float | None
    fleet_mean_ms: Latency
    latency_ms: Mapping[str, ClusterLatency]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class NetworkInput:
    """What every network takes: a batch of 1 of float32; `shape` is without the batch."""

    shape: InputShape
    name: str = "input"


@dataclass(frozen=True)
class PortfolioFile(JsonDocument):
    """`portfolio.json`; `portfolio` is its number in the database.

    Variants stand from the fastest to the most accurate, FLOPs ascending. Latencies are ms; what is
    unknown is null.
    """

    WHAT = "the manifest of a portfolio that `hdap portfolio build` made"
    REMEDY = "build again"
    FORMAT = 1
    KIND = KIND
    SEALED = True

    portfolio: int
    model: str
    architecture: str
    simulated: bool
    input: NetworkInput
    classes: int
    variants: tuple[VariantEntry, ...]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are as they were written; `document` is all of `portfolio.json`."""

    portfolio: Portfolio
    document: PortfolioFile


def file_entries(paths: Iterable[Path]) -> dict[str, FileEntry]:
    """Size and hash of each file, by name."""
    return {path.name: FileEntry(path.stat().st_size, sha256_of(path)) for path in paths}


def portfolio_file(
    record: PortfolioRecord,
    input_shape: InputShape,
    classes: int,
    files: Mapping[str, Files],
) -> PortfolioFile:
    """The content of `portfolio.json`; `files` are those of each variant."""
    return PortfolioFile(
        portfolio=record.id,
        model=record.model,
        architecture=record.architecture_digest,
        simulated=record.simulated,
        input=NetworkInput(input_shape),
        classes=classes,
        variants=tuple(_variant(one, files[one.variant]) for one in record.variants),
    )


def write_rest(folder: Path, document: PortfolioFile) -> None:
    """Write the manifest and the switcher beside networks that are there."""
    write_file(folder / SWITCHER, program("switcher"))
    write_document(folder / MANIFEST, document)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and compare every file with its hash.

    Raises InputError, in one line, for a folder that holds no bundle, a manifest that was cut or
    changed, and a file that was, which is named with both hashes.
    """
    try:
        portfolio, checker = read_portfolio(str(folder)), FileChecker()
        for variant in portfolio.variants:
            checker.check(str(folder), variant.files)
    except DeviceError as problem:
        raise InputError(str(problem)) from problem
    return Bundle(portfolio, read_document(folder / MANIFEST, PortfolioFile))


def bundle_files(folder: Path) -> frozenset[str]:
    """Names that a new bundle may replace in `folder`: those of the bundle that is there.

    Files that only a running switcher made are among them.
    """
    try:
        variants = read_document(folder / MANIFEST, PortfolioFile).variants
    except HdapError:
        variants = ()
    named = [name for variant in variants for name in variant.files]
    return frozenset({MANIFEST, SWITCHER, OPTIMISED, *named})


def _variant(record: VariantRecord, files: Files) -> VariantEntry:
    mean = (record.fleet_mean_ms, record.fleet_mean_low_ms, record.fleet_mean_high_ms)
    return VariantEntry(
        name=record.variant,
        files=dict(files),
        channels=record.channels,
        parameters=record.parameters,
        bytes=record.bytes,
        flops=record.flops,
        kept_importance=_or_none(record.kept_importance),
        accuracy=_or_none(record.accuracy),
        measured_here_ms=_or_none(record.measured_here_ms),
        fleet_mean_ms=Latency(*map(_or_none, mean)),
        latency_ms={str(one.cluster): _latency(one) for one in record.clusters},
        provenance=dict(record.provenance),
    )


def _latency(cluster: VariantClusterRecord) -> ClusterLatency:
    return ClusterLatency(
        _or_none(cluster.predicted_ms),
        _or_none(cluster.predicted_low_ms),
        _or_none(cluster.predicted_high_ms),
        _or_none(cluster.measured_ms),
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
