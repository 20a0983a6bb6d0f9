"""`plan.json`, beside the bundles of a plan: which device measures which."""

from dataclasses import dataclass

from hdap.fleet_data.documents import JsonDocument


@dataclass(frozen=True)
class BundleDevices:
    """The folder of a bundle and the devices that measure it."""

    folder: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class PlanFile(JsonDocument):
    """`plan.json`: which device gets which bundle."""

    WHAT = "what `hdap plan` wrote beside its bundles"
    REMEDY = "plan again: hdap plan"

    model: str
    clustering: int
    bundles: tuple[BundleDevices, ...]
