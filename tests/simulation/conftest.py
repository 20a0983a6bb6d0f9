from collections.abc import Callable

import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet


@pytest.fixture(scope="session")
def resnet(architecture: Callable[[str], Architecture]) -> Architecture:
    return architecture("resnet50")


@pytest.fixture(scope="session")
def mobilenet(architecture: Callable[[str], Architecture]) -> Architecture:
    return architecture("mobilenetv1_100")


@pytest.fixture(scope="session")
def cameras() -> SimulatedFleet:
    return draw_fleet(preset("cameras", 200, seed=5))
