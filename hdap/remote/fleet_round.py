"""All devices of a plan measure at once, each its own bundle."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdap.fleet_data.atomic_files import replace_file
from hdap.fleet_data.documents import read_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.fleet_data.plan_file import PlanFile
from hdap.remote.hosts import Host
from hdap.remote.measuring import Errand, Patience, RemoteMeasurement
from hdap.remote.standing import Standing, Tell

FETCHED = "fetched"
"""The folder, beside bundles, of rows that came back; what was carried by hand lies elsewhere."""

_OURS = ("--bundle", "--device-id", "--out", "--list", "--dry-run")


@dataclass(frozen=True)
class Round:
    """Errands, and devices that were asked for and have no host."""

    errands: tuple[Errand, ...]
    homeless: tuple[str, ...]


def plan_round(folder: Path, hosts: Mapping[str, Host], options: Sequence[str]) -> Round:
    """What each device is to do with the bundles in a folder of `hdap plan`, or with one bundle.

    One bundle is for every device in `hosts`. `options` are those of measure.pyz. Raises
    `InputError` for another folder, for options that are not a person's here, and where no device
    of the plan has a host.
    """
    for option in options:
        if option.partition("=")[0] in _OURS:
            raise InputError(
                f"options of measure.pyz but {', '.join(_OURS)} may follow, but got {option}: with "
                "--on they follow from the plan"
            )
    wanted = _bundles(folder, hosts)
    errands = tuple(
        _errand(bundle, device, hosts[device], options)
        for bundle, devices in wanted.items()
        for device in devices
        if device in hosts
    )
    homeless = tuple(d for devices in wanted.values() for d in devices if d not in hosts)
    if not errands:
        raise InputError(
            f"a device of the plan must be among the hosts, but {', '.join(homeless)} have no "
            "table there; name tables as the fleet calls its devices"
        )
    return Round(errands, homeless)


def _bundles(folder: Path, hosts: Mapping[str, Host]) -> dict[Path, tuple[str, ...]]:
    # the plan first: that of a check may lie in the folder of its only bundle
    if (folder / "plan.json").is_file():
        plan = read_document(folder / "plan.json", PlanFile)
        return {folder / bundle.folder: bundle.devices for bundle in plan.bundles}
    if (folder / "manifest.json").is_file():
        return {folder: tuple(hosts)}
    raise InputError(
        f"a plan must hold a plan.json, or a bundle a manifest.json, but {folder} holds neither; "
        "make one: hdap plan"
    )


def _errand(bundle: Path, device: str, host: Host, options: Sequence[str]) -> Errand:
    manifest = read_document(bundle / "manifest.json", MeasuringBundle)
    names = [file.file for file in (*manifest.shared, *manifest.configurations)]
    # the manifest last: where it is, the rest is
    files = [bundle / name for name in (*names, "measure.pyz", "manifest.json")]
    absent = next((file for file in files if not file.is_file()), None)
    if absent is not None:
        raise InputError(f"a bundle must be whole, but there is no {absent}; plan again")
    return Errand(
        device,
        host,
        manifest.bundle,
        files,
        ("--device-id", device, *options),
        *_comes(manifest, options),
    )


def _comes(manifest: MeasuringBundle, options: Sequence[str]) -> tuple[int, str]:
    """How many rows a device will have, and of which kind."""
    if any(option.partition("=")[0] == "--sustained" for option in options):
        return 2, "sustained"
    return len(manifest.configurations) * _rounds(options), "measured"


def _rounds(options: Sequence[str]) -> int:
    text = "1"
    for place, option in enumerate(options):
        if option == "--rounds" and place + 1 < len(options):
            text = options[place + 1]
        elif option.startswith("--rounds="):
            text = option.partition("=")[2]
    return int(text) if text.isdecimal() else 1


async def run_round(round_: Round, patience: Patience, tell: Tell) -> list[Standing]:
    """How it ended with each device, in order; where this is stopped, devices go on alone."""
    running = [RemoteMeasurement(errand, patience, tell).run() for errand in round_.errands]
    return list(await asyncio.gather(*running))


def keep_rows(folder: Path, round_: Round, ends: Sequence[Standing]) -> list[Path]:
    """Write the rows that devices brought into `fetched` in `folder`: the files."""
    files = []
    for errand, end in zip(round_.errands, ends, strict=True):
        if end.content:
            file = folder / FETCHED / errand.csv
            file.parent.mkdir(exist_ok=True)
            replace_file(file, end.content)
            files.append(file)
    return files
