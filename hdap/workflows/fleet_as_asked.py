"""The fleet that a search weighs: as it is today, or as a person asks of it."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hdap.clustering.sustained_ratios import SustainedRatios, sustained_ratios
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.records import ClusteringRecord, Devices
from hdap.requests.search_request import SUSTAINED_STATE, SearchRequest
from hdap.search.problem.fleet_shares import fleet_with, parse_shares
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.sizes.device_speeds import DeviceSpeeds

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


def fleet_weights(
    store: "Store", request: SearchRequest, clustering: ClusteringRecord, say: Say = lambda _: None
) -> FleetWeights:
    """The clusters, with devices weighed as `--fleet-as` says, rested or hot as `--state` does.

    Raises InputError as `fleet_with` and NotEnoughDataError as `sustained_ratios`.
    """
    hot = _ratios(store, request, clustering)
    if hot is not None:
        say(hot.words)
        clustering = replace(clustering, factor=clustering.factor * hot.ratio)
    return FleetWeights.of(clustering, _devices(store, request, clustering))


def device_speeds(
    store: "Store", request: SearchRequest, clustering: ClusteringRecord
) -> DeviceSpeeds:
    """Every device beside its cluster, in the same fleet. Raises as `fleet_weights`."""
    found = DeviceSpeeds.of(clustering, _devices(store, request, clustering))
    hot = _ratios(store, request, clustering)
    if hot is None:
        return found
    there = np.isin(clustering.device_ids, found.ids)
    return replace(found, log_factor=found.log_factor + np.log(hot.ratio[there]))


def _devices(store: "Store", request: SearchRequest, clustering: ClusteringRecord) -> Devices:
    devices = store.devices()
    if request.fleet_as is None:
        return devices
    return fleet_with(parse_shares(request.fleet_as), clustering, devices)


def _ratios(
    store: "Store", request: SearchRequest, clustering: ClusteringRecord
) -> SustainedRatios | None:
    if request.state != SUSTAINED_STATE:
        return None
    return sustained_ratios(store.measurements(), clustering)
