"""The store's tests run on both databases: SQLite files and a real PostgreSQL server."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of databases that are empty."""
    if request.param == "postgresql":
        server: Any = request.getfixturevalue("postgres")
        return lambda: str(server.create_space())
    return lambda: f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


class KnownArchitectures:
    """Knows the given architectures and counts how often it is asked."""

    def __init__(self, *known: Architecture) -> None:
        self.known = {one.model: one for one in known}
        self.asked: list[str] = []

    def __call__(self, model: str) -> Architecture | None:
        self.asked.append(model)
        return self.known.get(model)


@pytest.fixture
def tracer(architecture: Callable[[str], Architecture]) -> KnownArchitectures:
    return KnownArchitectures(architecture("resnet50"))
