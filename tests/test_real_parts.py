import csv
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
from sklearn.metrics import adjusted_rand_score
from torch import nn
from typer.testing import CliRunner, Result

from hdap.cli import app
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.store import Store
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle

PERIOD_US = 5_000
QUOTAS = {"fast-1": 1.0, "slow-1": 0.4, "fast-2": 1.0, "slow-2": 0.4}
NAME = "real_parts_net"
# what other work does to the reference is not repeated here: that is the protocol's own test
QUICK = ("--threshold", "1000")
Enter = Callable[[], None]


def small() -> nn.Module:
    # A real timm network, made small: one block a stage.
    return timm.create_model(
        "resnet18", num_classes=10, layers=(1, 1, 1, 1), channels=(16, 32, 48, 64)
    ).eval()


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, Architecture]:
    module = small()
    return module, trace(module, name=NAME, input_shape=(3, 160, 160))


@pytest.fixture(scope="module")
def bundle(
    network: tuple[nn.Module, Architecture], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    module, architecture = network
    shares = np.linspace(0.25, 0.9, 10)
    rng = np.random.default_rng(0)
    counts = [
        np.clip(
            np.rint(architecture.widths * share * rng.uniform(0.8, 1.2, len(architecture.widths))),
            4,
            architecture.widths,
        ).astype(int)
        for share in shares
    ]
    planned = [PlannedConfiguration(tuple(row.tolist())) for row in counts]
    folder = tmp_path_factory.mktemp("real") / "bundle"
    return write_bundle(folder, architecture, module, planned).folder


@pytest.fixture(scope="module")
def device_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in ("numpy", "onnxruntime"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).parent
        for part in (source, source.with_name(f"{name}.libs")):
            if part.is_dir():
                (packages / part.name).symlink_to(part)
    return folder / "bin" / "python"


def _measure(
    python: Path, bundle: Path, out: Path, *options: str, enter: Enter | None = None
) -> list[dict[str, str]]:
    subprocess.run(
        [str(python), "-I", "measure.pyz", "--out", str(out), "--threads", "1", *QUICK, *options],
        cwd=bundle,
        preexec_fn=enter,
        check=True,
        capture_output=True,
        timeout=120,
    )
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def store_path(network: tuple[nn.Module, Architecture], tmp_path: Path) -> Path:
    path = tmp_path / "hdap.db"
    with Store.open(str(path)) as store:
        store.save_architecture(network[1])
    return path


def _hdap(*arguments: str) -> Result:
    done = CliRunner(env={"COLUMNS": "160"}).invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done


def test_a_bundle_is_measured_on_a_bare_device_ingested_and_learned(
    bundle: Path, device_python: Path, store_path: Path, tmp_path: Path
) -> None:
    known = subprocess.run(
        [device_python, "-I", "-c", "import torch"], capture_output=True, check=False
    )
    assert known.returncode == 1, "the device must have no torch"
    files, rows = [], []
    for device in ("unit-1", "unit-2", "unit-3"):
        files.append(tmp_path / f"{device}.csv")
        options = ("--device-id", device, "--runs", "10", "--min-seconds", "0.1", "--rounds", "1")
        rows += _measure(device_python, bundle, files[-1], *options)
    report = json.loads(_hdap("ingest", *map(str, files), "--db", str(store_path), "--json").stdout)
    assert sum(part["added"] for part in report) == len(rows)
    assert [part["rejected"] for part in report] == [{}, {}, {}]
    assert {part["simulated"] for part in report} == {False}
    fit = json.loads(_hdap("fit", "--model", NAME, "--db", str(store_path), "--json").stdout)
    learned = sum(cluster["rows"] for cluster in fit["clusters"])
    assert learned > 0.5 * len(rows)
    for cluster in fit["clusters"]:
        # ten networks from a machine that does other work too: it must have learned, no more
        assert cluster["mape"] < 0.5
        assert cluster["kendall_tau"] > 0.3


@pytest.fixture
def quota() -> Iterator[Callable[[str, float], Enter]]:
    """Makes groups of processes that share a part of one core; skips where none can be made."""
    old = Path("/sys/fs/cgroup/cpu")
    version_1 = (old / "cpu.cfs_quota_us").exists()
    base, made = old if version_1 else old.parent, list[Path]()

    def make(name: str, share: float) -> Enter:
        folder = base / f"hdap-real-{os.getpid()}-{name}"
        folder.mkdir()
        made.append(folder)
        micros = str(int(share * PERIOD_US))
        if version_1:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(micros)
        else:
            (folder / "cpu.max").write_text(f"{micros} {PERIOD_US}")

        def enter() -> None:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

        return enter

    try:
        make("probe", 0.5)
    except OSError as error:
        for folder in made:
            folder.rmdir()
        pytest.skip(f"needs the cgroup CPU controller, which cannot be used here: {error}")
    yield make
    for folder in made:
        folder.rmdir()


@pytest.fixture
def short_bundle(network: tuple[nn.Module, Architecture], tmp_path: Path) -> Path:
    module, architecture = network
    half = PlannedConfiguration(tuple((architecture.widths // 2).tolist()))
    return write_bundle(tmp_path / "short", architecture, module, [half]).folder


def test_clustering_separates_devices_that_a_cpu_quota_made_slow(
    short_bundle: Path, store_path: Path, tmp_path: Path, quota: Callable[[str, float], Enter]
) -> None:
    files = []
    for device, share in QUOTAS.items():
        files.append(tmp_path / f"{device}.csv")
        options = ("--device-id", device, "--runs", "20", "--min-seconds", "0.2", "--rounds", "1")
        rows = _measure(
            Path(sys.executable), short_bundle, files[-1], *options, enter=quota(device, share)
        )
        wait = statistics.median(float(row["reference_wait"]) for row in rows)
        if share == 1.0 and wait > 1.25:
            pytest.skip(f"the machine is too busy: at full quota inferences wait {wait:.2f} times")
    _hdap("ingest", *map(str, files), "--db", str(store_path))
    choice = ("--algorithm", "kmeans", "--clusters", "2", "--resamples", "0")
    _hdap("cluster", *choice, "--db", str(store_path))
    listed = json.loads(_hdap("devices", "--db", str(store_path), "--json").stdout)
    assert {row["device_id"] for row in listed} == set(QUOTAS)
    found = [row["cluster"] for row in listed]
    truth = [row["device_id"].split("-")[0] for row in listed]
    assert adjusted_rand_score(truth, found) == 1.0
