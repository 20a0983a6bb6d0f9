"""A verification's way to the devices: who is asked, and what each of them measures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdap.fleet_data.atomic_files import whole_folder
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.search.planning.plan_bundles import PlannedBundle
from hdap.workflows.verify_trial import TrialInQuestion
from hdap.workflows.what_runs import by_what_runs, what_runs
from hdap.workflows.write_plan import Progress, write_bundles

SAMPLE = 5
"""Devices that are no representatives and measure too, to check the clustering."""


@dataclass(frozen=True)
class Check:
    """What devices are to measure of a trial: `bundles` by what they run, in folders of one."""

    representatives: tuple[str, ...]
    sample: tuple[str, ...]
    bundles: tuple[PlannedBundle, ...]


def plan_check(trial: TrialInQuestion, sample: int, seed: int, say: Say) -> Check:
    """Found, uniform and dense for the representatives, and for a random sample of the devices that
    are neither such nor outliers: a bundle for everything that they run.

    Raises NotEnoughDataError where the clustering has no representative.
    """
    clustering = trial.clustering
    chosen = clustering.representative
    if not chosen.any():
        raise NotEnoughDataError(
            "a verification needs representatives of the clusters, but there are none; "
            "load telemetry: hdap ingest telemetry.csv"
        )
    rest = np.flatnonzero(~chosen & ~clustering.outlier)
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.choice(rest, min(sample, len(rest)), replace=False))
    ids = clustering.device_ids
    representatives, others = (tuple(map(str, ids[rows])) for rows in (chosen, picked))
    devices = (*representatives, *others)
    bundle = PlannedBundle("", devices, trial.counts[1:2], trial.counts[:1])
    run_by = what_runs(clustering, devices, say)
    return Check(representatives, others, by_what_runs([bundle], run_by))


def write_check(trial: TrialInQuestion, out: Path, check: Check, progress: Progress) -> None:
    """Write the bundles, each in a folder of its own where they are several, and `devices.txt`."""
    architecture, bundles = trial.problem.architecture, check.bundles
    at = {device: bundle.name for bundle in bundles for device in bundle.devices}
    asked = dict.fromkeys(check.representatives, "representative")
    asked |= dict.fromkeys(check.sample, "sample")
    with whole_folder(out) as folder:
        write_bundles(folder, architecture, bundles, trial.clustering.id, progress)
        rows = [(device, why, at[device]) for device, why in asked.items()]
        lines = "".join("\t".join(filter(None, row)) + "\n" for row in rows)
        (folder / "devices.txt").write_text(lines, encoding="utf-8")
