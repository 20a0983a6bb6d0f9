"""Writing a plan: one folder a bundle, and a page that says which device gets which."""

import shutil
from collections.abc import Callable
from pathlib import Path

from hdap.device.archive import program
from hdap.device.runtimes.registry import RUNTIMES
from hdap.fleet_data.atomic_files import whole_folder
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.plan_file import BundleDevices, PlanFile
from hdap.workflows.plan_measurements import PlannedBatch

Progress = Callable[[int, int], None]


def write_plan(batch: PlannedBatch, out: Path, progress: Progress) -> int:
    """One folder a bundle, `plan.json` and a README that says which device gets which; bytes.

    The folder appears whole or not at all. Raises InputError where `out` exists and is not empty.
    """
    from hdap.networks.loading import load_model
    from hdap.workflows.write_bundle import PlannedConfiguration, RunBy, write_bundle

    require_free(out)
    module = load_model(batch.architecture.model).module
    total = sum(len(bundle) + 1 for bundle in batch.bundles)
    done = size = 0
    with whole_folder(out) as temporary:
        for bundle in batch.bundles:
            plan = [PlannedConfiguration(tuple(row), "anchor") for row in bundle.anchors.tolist()]
            plan += [PlannedConfiguration(tuple(row)) for row in bundle.candidates.tolist()]

            def tell(at: int, _: int, before: int = done) -> None:
                progress(before + at, total)

            size += write_bundle(
                temporary / bundle.name,
                batch.architecture,
                module,
                plan,
                run_by=RunBy(batch.runtime, batch.precision),
                baselines={d: batch.baselines[d] for d in bundle.devices if d in batch.baselines},
                devices=bundle.devices,
                batch_size=batch.batch_size,
                progress=tell,
            ).size
            done += len(bundle) + 1
            size += _write_levels(batch, temporary / bundle.name)
        (temporary / "README.txt").write_text(_readme(batch), encoding="utf-8")
        bundles = tuple(BundleDevices(b.name, tuple(b.devices)) for b in batch.bundles)
        plan_file = PlanFile(batch.architecture.model, batch.clustering.id, bundles)
        write_document(temporary / "plan.json", plan_file)
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
        f"(Python 3.9 or later with {RUNTIMES[batch.runtime].package} and numpy; DEVICE as "
        "written here.)",
        "",
    ]
    lines += [f"{b.name}/  ->  {', '.join(b.devices)}" for b in batch.bundles]
    lines += ["", "Bring every measured-*.csv back: hdap ingest measured-*.csv", ""]
    return "\n".join(lines)
