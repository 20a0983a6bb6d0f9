"""Networks on meta and their architectures, each traced once a session."""

from collections.abc import Callable
from functools import cache

import pytest
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.models.graph import ChannelGraph
from hdap.models.loading import load_model
from hdap.models.tracing import trace


@pytest.fixture(scope="session")
def network() -> Callable[[str], nn.Module]:
    return cache(lambda name: load_model(name, device="meta").module)


@pytest.fixture(scope="session")
def channel_graph(network: Callable[[str], nn.Module]) -> Callable[[str], ChannelGraph]:
    return cache(lambda name: ChannelGraph(network(name), (3, 224, 224)))


@pytest.fixture(scope="session")
def traced() -> Callable[[str], Architecture]:
    return cache(trace)
