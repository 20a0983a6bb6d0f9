"""The devices that a search weighs: those of today, or as a person says that they will be."""

from typing import TYPE_CHECKING

from hdap.fleet_data.records import ClusteringRecord, Devices
from hdap.requests.search_request import SearchRequest
from hdap.search.problem.fleet_shares import fleet_with, parse_shares

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


def devices_as_asked(
    store: "Store", request: SearchRequest, clustering: ClusteringRecord
) -> Devices:
    """The fleet's devices, weighed as `--fleet-as` says. Raises InputError as `fleet_with`."""
    devices = store.devices()
    if request.fleet_as is None:
        return devices
    return fleet_with(parse_shares(request.fleet_as), clustering, devices)
