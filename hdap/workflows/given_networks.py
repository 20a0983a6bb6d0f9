"""Networks that exist and are to be measured: levels of an elastic one, variants of a portfolio."""

from typing import TYPE_CHECKING

import numpy as np

from hdap.elastic.level_file import read_level_file
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord
from hdap.requests.plan_request import PlanRequest

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


def given_networks(
    store: "Store", request: PlanRequest, architecture: Architecture, clustering: ClusteringRecord
) -> Counts:
    """Levels and variants that every device measures, each once (m x G).

    Raises InputError where they are of another model, or none is pruned.
    """
    levels = _levels(request, architecture, clustering)
    if request.portfolio is None:
        return levels
    return np.unique(np.vstack([levels, _variants(store, request.portfolio, architecture)]), axis=0)


def _variants(store: "Store", number: int, architecture: Architecture) -> Counts:
    """The variants that are not the dense network, which every bundle holds anyway (m x G)."""
    record = store.portfolio(number)
    if record.model != architecture.model:
        raise InputError(
            f"`--portfolio` must be one of {architecture.model}, but {record.id} is of "
            f"{record.model}; name another"
        )
    texts = [variant.channels for variant in record.variants if variant.channels]
    if not texts:
        raise InputError(
            f"portfolio {record.id} must hold a pruned variant, but has the dense one only"
        )
    return parse_channels(architecture, texts).counts


def _levels(
    request: PlanRequest, architecture: Architecture, clustering: ClusteringRecord
) -> Counts:
    """The levels that are not the dense network, which every bundle holds anyway (m x G)."""
    if request.levels is None:
        return np.empty((0, len(architecture.groups)), dtype=np.int64)
    counts = read_level_file(request.levels, architecture, clustering).counts
    pruned: Counts = counts[(counts != architecture.widths).any(axis=1)]
    if not len(pruned):
        raise InputError(f"{request.levels} must hold a pruned level, but has the dense one only")
    return pruned
