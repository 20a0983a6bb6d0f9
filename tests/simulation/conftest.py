from collections.abc import Callable

import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.simulation.fleet import Fleet, draw_fleet
from hdap.simulation.presets import preset


@pytest.fixture(scope="session")
def resnet(architecture: Callable[[str], Architecture]) -> Architecture:
    return architecture("resnet50")


@pytest.fixture(scope="session")
def mobilenet(architecture: Callable[[str], Architecture]) -> Architecture:
    return architecture("mobilenetv1_100")


@pytest.fixture(scope="session")
def cameras() -> Fleet:
    return draw_fleet(preset("cameras", 200, seed=5))
