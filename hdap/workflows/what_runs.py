"""What measures on each device: what its telemetry says that it runs, where bundles can be so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hdap.device.runtimes.registry import RUNTIMES
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.records import ClusteringRecord
from hdap.fleet_data.software import (
    DEFAULT_RUN_BY,
    RunBy,
    kernels_of,
    runtime_and_provider,
    show_software,
    threads_of,
)
from hdap.fleet_data.telemetry import SIMULATED
from hdap.fleet_data.wording import counted
from hdap.search.planning.plan_bundles import PlannedBundle


def what_runs(clustering: ClusteringRecord, devices: Sequence[str], say: Say) -> dict[str, RunBy]:
    """By device; ONNX Runtime in float32 where it says nothing, and, which is said, where it runs
    what no bundle can be of."""
    software = dict(zip(clustering.device_ids.tolist(), clustering.software.tolist(), strict=True))
    found, strange = {}, dict[str, list[str]]()
    for device in devices:
        text = software.get(device, "")
        own = _told(text)
        found[device] = own or DEFAULT_RUN_BY
        if own is None and kernels_of(text)[0] != SIMULATED:
            strange.setdefault(text, []).append(device)
    for text, names in strange.items():
        say(
            f"{counted(len(names), 'device')} ({', '.join(names)}) of {show_software(text)}, of "
            "which no bundle can be made: what ONNX Runtime takes there in float32 teaches "
            "nothing of it"
        )
    return found


def _told(software: str) -> RunBy | None:
    """What software as text says; None where no bundle can be of it."""
    family, precision = kernels_of(software)
    runtime, provider = runtime_and_provider(family)
    default = DEFAULT_RUN_BY
    own = RunBy(
        runtime or default.runtime,
        precision or default.precision,
        provider or default.provider,
        threads_of(software) or default.threads,
    )
    known = RUNTIMES.get(own.runtime)
    fits = known and own.precision in known.precisions and own.provider in known.providers
    return own if fits else None


def by_what_runs(
    bundles: Sequence[PlannedBundle], run_by: Mapping[str, RunBy]
) -> tuple[PlannedBundle, ...]:
    """Each bundle once for everything that its devices run, named by that where it is several."""
    several = len(set(run_by.values())) > 1
    found = []
    for bundle in bundles:
        for own in dict.fromkeys(run_by[device] for device in bundle.devices):
            devices = tuple(device for device in bundle.devices if run_by[device] == own)
            name = f"{bundle.name}-{own.name}" if several else bundle.name
            found.append(replace(bundle, name=name.lstrip("-"), devices=devices, run_by=own))
    return tuple(found)
