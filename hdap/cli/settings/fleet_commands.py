"""Commands on the fleet and its telemetry."""

from dataclasses import dataclass
from typing import Annotated

from hdap.cli.settings.shared_flags import WithBoth
from hdap.requests.fleet_requests import ClusteringChoice
from hdap.requests.setting import Setting

BY_DENSITY = ClusteringChoice("hdbscan")


@dataclass(frozen=True, kw_only=True)
class DevicesCommand(WithBoth):
    """List the devices: outliers first, then the slowest against their own cluster."""

    cluster: Annotated[int | None, Setting("Only the devices of this cluster.", low=0)] = None
    outliers: Annotated[bool, Setting("Only devices that behave like no other.")] = False
    limit: Annotated[int, Setting("Devices to list at most.", low=1)] = 50


@dataclass(frozen=True, kw_only=True)
class ClusterCommand(WithBoth):
    """Group devices that behave alike, from telemetry alone, and name the outliers."""

    choice: ClusteringChoice = BY_DENSITY


@dataclass(frozen=True, kw_only=True)
class StatusCommand(WithBoth):
    """Say what the database holds, what is stale, and what to do next."""

    model: Annotated[str | None, Setting("Only this model.")] = None
