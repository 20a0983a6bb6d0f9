"""Writing a plan: one folder a bundle, and a page that says which device gets which."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hdap.device.archive import program
from hdap.device.runtimes.registry import RUNTIMES
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import whole_folder
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.plan_file import BundleDevices, PlanFile
from hdap.search.planning.plan_bundles import PlannedBundle
from hdap.workflows.plan_measurements import PlannedBatch

NOTHING_KNOWN: Mapping[str, float] = {}
Progress = Callable[[int, int], None]


def write_plan(batch: PlannedBatch, out: Path, progress: Progress) -> int:
    """One folder a bundle, `plan.json` and a README that says which device gets which; bytes.

    The folder appears whole or not at all. Raises InputError where `out` exists and is not empty.
    """
    require_free(out)
    with whole_folder(out) as temporary:
        size = write_bundles(
            temporary,
            batch.architecture,
            batch.bundles,
            batch.clustering.id,
            progress,
            baselines=batch.baselines,
            batch_size=batch.batch_size,
        )
        size += sum(_write_levels(batch, temporary / bundle.name) for bundle in batch.bundles)
        (temporary / "README.txt").write_text(_readme(batch), encoding="utf-8")
    return size


def write_bundles(
    folder: Path,
    architecture: Architecture,
    bundles: Sequence[PlannedBundle],
    clustering: int,
    progress: Progress,
    *,
    baselines: Mapping[str, float] = NOTHING_KNOWN,
    batch_size: int = 1,
) -> int:
    """A folder a bundle in `folder`, and `plan.json` beside them; bytes.

    Raises InputError, before any network is exported, where what writes one of them is missing.
    """
    from hdap.networks.loading import load_model
    from hdap.networks.runtime_files.base import FilesWanted
    from hdap.networks.runtime_files.registry import files_for
    from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle

    shape = architecture.one_input("a bundle")
    for own in dict.fromkeys(bundle.run_by for bundle in bundles):
        wanted = FilesWanted(folder, shape, own.precision, batch_size=batch_size)
        files_for(own.runtime, wanted).check_ready()
    module = load_model(architecture.model).module
    total = sum(len(bundle) + 1 for bundle in bundles)
    done = size = 0
    for bundle in bundles:
        plan = [PlannedConfiguration(tuple(row), "anchor") for row in bundle.anchors.tolist()]
        plan += [PlannedConfiguration(tuple(row)) for row in bundle.candidates.tolist()]

        def tell(at: int, _: int, before: int = done) -> None:
            progress(before + at, total)

        size += write_bundle(
            folder / bundle.name,
            architecture,
            module,
            plan,
            run_by=bundle.run_by,
            baselines={d: baselines[d] for d in bundle.devices if d in baselines},
            devices=bundle.devices,
            batch_size=batch_size,
            progress=tell,
        ).size
        done += len(bundle) + 1
    named = tuple(BundleDevices(b.name, tuple(b.devices)) for b in bundles)
    write_document(folder / "plan.json", PlanFile(architecture.model, clustering, named))
    return size


def _write_levels(batch: PlannedBatch, folder: Path) -> int:
    """What chooses among the levels on a device, beside the networks; bytes."""
    if batch.levels is None:
        return 0
    shutil.copyfile(batch.levels, folder / "levels.json")
    (folder / "controller.pyz").write_bytes(program("controller"))
    return sum((folder / name).stat().st_size for name in ("levels.json", "controller.pyz"))


def require_free(out: Path) -> None:
    """Raises InputError where `out` exists and is not an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"`--out` must name a folder that does not exist or is empty, but got {out}; "
            "name another or remove it"
        )


def _readme(batch: PlannedBatch) -> str:
    lines = [
        f"{batch.measurements} measurements of {batch.architecture.model} to take:",
        "copy each folder to the devices named beside it and start it there:",
        "  python3 measure.pyz --device-id DEVICE",
        "(Python 3.9 or later with numpy and what is named beside the folder; DEVICE as written "
        "here.)",
        "",
    ]
    lines += [
        f"{b.name}/  ->  {', '.join(b.devices)}  ({RUNTIMES[b.run_by.runtime].package}: "
        f"{b.run_by.words})"
        for b in batch.bundles
    ]
    lines += ["", "Bring every measured-*.csv back: hdap ingest measured-*.csv", ""]
    return "\n".join(lines)
