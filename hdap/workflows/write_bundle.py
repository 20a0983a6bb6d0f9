"""Writing a bundle: the folder that travels to a device and measures there."""

import hashlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hdap.device.archive import program
from hdap.device.measure.program import main as measure
from hdap.device.runtimes.registry import RUNTIMES
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import sha256_of, whole_folder
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import check_counts, flops, parameters
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import (
    BundleFile,
    BundleNetwork,
    MeasuringBundle,
    Role,
    Weights,
)
from hdap.fleet_data.software import DEFAULT_RUN_BY, RunBy
from hdap.networks.onnx_files import OPSET
from hdap.networks.runtime_files.base import FilesWanted, RuntimeFiles
from hdap.networks.runtime_files.registry import files_for
from hdap.networks.surgery import prune

Progress = Callable[[int, int], None]
"""Called with how many networks are written and how many there are."""

_README = """\
This folder measures {networks} networks ({model} and pruned versions of it) on the device it is on.
It needs Python 3.9 or later:  python3 -m pip install {package} numpy
Networks are for {words}.
Start in this folder, {under}:
{commands}
(--help lists the options; without --device-id a name is made up that the fleet does not know.)
Stopped or without power, it goes on where it was when started again; about {minutes} min in all.
Send back the file measured-*.csv; on the other side: hdap ingest measured-*.csv
"""


@dataclass(frozen=True)
class PlannedConfiguration:
    """What to measure: one channel count a width group, and what for.

    The `reference` is the dense network, timed between all others; every device measures the
    `anchor`s, which tie devices together.
    """

    counts: tuple[int, ...]
    role: Role = "candidate"


@dataclass(frozen=True)
class BundleReport:
    """What was written; `size` in bytes."""

    folder: Path
    bundle: str
    networks: int
    size: int
    weights: Weights


def write_bundle(
    folder: Path,
    architecture: Architecture,
    module: nn.Module,
    plan: Sequence[PlannedConfiguration],
    *,
    run_by: RunBy = DEFAULT_RUN_BY,
    weights: Weights = "generated",
    baselines: Mapping[str, float] | None = None,
    devices: Sequence[str] = (),
    batch_size: int = 1,
    progress: Progress | None = None,
) -> BundleReport:
    """Export the dense network and every planned one, with a manifest and `measure.pyz`.

    `weights="generated"` is for latency only: ONNX Runtime and OpenVINO read references into one
    shared file of random numbers, some MB where `"own"` weights are GB, and ncnn needs none. int8
    is calibrated on random inputs. `baselines` are reference
    latencies (ms) by device where they are known, `devices` those that are asked to measure it, for
    its README. Networks take `batch_size` inputs at once. The folder appears whole or not at all.

    Raises `InputError` where `folder` is not empty, the plan is not one of this architecture, or
    what writes such files is not installed, and `UnsupportedModelError` where the network cannot be
    pruned or exported.
    """
    rows = _checked(architecture, plan)
    shape = architecture.one_input("a bundle")
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"the folder of a bundle must not exist or be empty, but {folder} is neither; "
            "name another or remove it"
        )
    with whole_folder(folder) as temporary:
        wanted = FilesWanted(temporary, shape, run_by.precision, weights, batch_size)
        paths = _write_networks(
            files_for(run_by.runtime, wanted), architecture, module, rows, progress
        )
        manifest = _manifest(wanted, run_by, architecture, rows, paths, baselines or {})
        write_document(temporary / "manifest.json", manifest)
        (temporary / "measure.pyz").write_bytes(program("measure"))
        text = _readme(architecture.model, run_by, len(rows), devices)
        (temporary / "README.txt").write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return BundleReport(folder, manifest.bundle, len(rows), size, weights)


def _readme(model: str, run_by: RunBy, networks: int, devices: Sequence[str]) -> str:
    names = [shlex.quote(device) for device in devices] or ["DEVICE"]
    return _README.format(
        networks=networks,
        model=model,
        package=RUNTIMES[run_by.runtime].package,
        words=run_by.words,
        minutes=max(1, round(networks * 10 / 60)),
        under="on each device under its name" if devices else "DEVICE as the telemetry calls it",
        commands="\n".join(f"  python3 measure.pyz --device-id {name}" for name in names),
    )


def run_measure(folder: Path, argv: Sequence[str] = ()) -> int:
    """Measure the bundle in `folder` on this machine: the same as `python3 measure.pyz` in it.

    Returns its exit status: 0, 1 (a problem, named on stderr), 2 (wrong usage) or 130 (stopped).
    """
    try:
        return measure(["--bundle", str(folder), *argv])
    except SystemExit as end:  # argparse, on wrong usage and --help
        return end.code if isinstance(end.code, int) else 1


Planned = list[tuple[NDArray[np.int64], Role]]


def _checked(architecture: Architecture, plan: Sequence[PlannedConfiguration]) -> Planned:
    """The plan with the dense reference first."""
    rows: Planned = [(architecture.widths, "reference")]
    seen = {tuple(architecture.widths.tolist())}
    for item in plan:
        row = check_counts(architecture, np.array([item.counts], dtype=np.int64))[0]
        key = tuple(row.tolist())
        if item.role == "reference":
            if key != tuple(architecture.widths.tolist()):
                text = format_channels(architecture, row[None])[0]
                raise InputError(f"the reference must be dense, but got {text}; plan it as anchor")
        elif key not in seen:
            seen.add(key)
            rows.append((row, item.role))
    return rows


def _write_networks(
    files: RuntimeFiles,
    architecture: Architecture,
    module: nn.Module,
    rows: Planned,
    progress: Progress | None,
) -> list[Path]:
    """The file of each network."""
    stems = [f"{index:04d}" for index in range(len(rows))]
    for index, (row, _) in enumerate(rows):
        files.add(prune(module, architecture, row), stems[index])
        if progress is not None:
            progress(index + 1, len(rows))
    files.finish()
    return [files.file(stem) for stem in stems]


def _described(path: Path) -> BundleFile:
    return BundleFile(path.name, sha256_of(path), path.stat().st_size)


def _network(
    path: Path, architecture: Architecture, row: NDArray[np.int64], role: Role
) -> BundleNetwork:
    return BundleNetwork(
        **asdict(_described(path)),
        channels=format_channels(architecture, row[None])[0],
        role=role,
        flops=int(flops(architecture, row[None])[0]),
        parameters=int(parameters(architecture, row[None])[0]),
    )


def _manifest(
    wanted: FilesWanted,
    run_by: RunBy,
    architecture: Architecture,
    rows: Planned,
    paths: Sequence[Path],
    baselines: Mapping[str, float],
) -> MeasuringBundle:
    planned = zip(paths, rows, strict=True)
    networks = tuple(_network(path, architecture, *row) for path, row in planned)
    others = sorted(set(wanted.folder.iterdir()) - set(paths))
    shared = tuple(map(_described, others))
    # what it measures: the same files in another precision or by more threads are another bundle
    content = [file.sha256 for file in (*networks, *shared)]
    content += [architecture.model, run_by.runtime, run_by.precision, run_by.provider]
    content.append(str(run_by.threads))
    return MeasuringBundle(
        bundle=hashlib.sha256("\n".join(content).encode()).hexdigest()[:16],
        model=architecture.model,
        architecture=architecture.digest,
        input_shape=(wanted.batch_size, *wanted.shape),
        weights=wanted.weights,
        opset=OPSET,
        made_with={
            "python": ".".join(map(str, sys.version_info[:3])),
            **{name: metadata.version(name) for name in ("hdap", "torch", "onnx")},
        },
        baseline_ms=dict(baselines),
        shared=shared,
        configurations=networks,
        runtime=run_by.runtime,
        precision=run_by.precision,
        provider=run_by.provider,
        threads=run_by.threads,
    )
