"""`hdap measure --on`: a real bundle to devices behind a real SSH server, and its rows in SQL."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import nn
from typer.testing import Result

pytest.importorskip("asyncssh")

from hdap.fleet_data.documents import write_document
from hdap.fleet_data.plan_file import BundleDevices, PlanFile
from hdap.fleet_data.store import Store
from hdap.networks.tracing import trace
from hdap.remote.fleet_round import plan_round
from hdap.remote.hosts import Host
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle
from tests.remote.device_server import DeviceServer, device_server

Hdap = Callable[..., Result]
QUICK = ("--runs", "5", "--min-seconds", "0.05", "--threshold", "1000")
MODEL = "hdap.examples.networks:small_resnet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DeviceServer]:
    made = device_server(tmp_path / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    from hdap.examples.networks import small_resnet

    network: nn.Module = small_resnet().eval()
    architecture = trace(network, name=MODEL, input_shape=(1, 8, 8))
    half = PlannedConfiguration(tuple((architecture.widths // 2).tolist()))
    folder = tmp_path / "bundles"
    write_bundle(folder / "bundle-1", architecture, network, [half])
    plan = PlanFile(MODEL, 1, (BundleDevices("bundle-1", ("gate 1", "gate 2", "gate 3")),))
    write_document(folder / "plan.json", plan)
    return folder


def _hosts(server: DeviceServer, *devices: str, **changed: str) -> str:
    host = server.host
    lines = []
    for device in devices:
        lines += [f'["{device}"]', f'host = "{host.host}"', f"port = {host.port}"]
        lines += [f'user = "{host.user}"', f'key = "{host.key}"', f'folder = "{host.folder}"']
        lines += [f'known_hosts = "{host.known_hosts}"']
        lines += [f'python = "{changed.get("python", sys.executable)}"']
    file = server.folder / "hosts.toml"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def test_a_check_with_its_bundle_beside_it_goes_to_its_devices_alone(plan: Path) -> None:
    bundle = plan / "bundle-1"
    write_document(bundle / "plan.json", PlanFile(MODEL, 1, (BundleDevices("", ("gate 1", "x")),)))
    hosts = {name: Host(name, user="root") for name in ("gate 1", "gate 9")}
    found = plan_round(bundle, hosts, ())
    assert [errand.device for errand in found.errands] == ["gate 1"]
    assert found.homeless == ("x",)
    (errand,) = plan_round(bundle, hosts, ("--sustained=20m",)).errands
    assert (errand.csv, errand.expected) == ("sustained-gate_1.csv", 2)


def test_every_device_measures_and_its_rows_are_ingested(
    hdap: Hdap, plan: Path, server: DeviceServer, tmp_path: Path
) -> None:
    hosts, db = _hosts(server, "gate 1", "gate 2"), tmp_path / "hdap.db"
    assert hdap("model", MODEL, db=db).exit_code == 0  # as planning did
    done = hdap("measure", str(plan), "--on", hosts, *QUICK, db=db)
    assert done.exit_code == 1
    assert "1 did not: gate 3; start the same again" in done.stderr
    assert "it has no host in the file" in done.stdout
    assert done.stdout.count("2/2") == 2
    with Store.open(str(db)) as store:
        rows = store.measurements(MODEL)
    assert sorted(rows.devices.ids) == ["gate 1", "gate 2"]
    assert len(rows) == 4, done.output
    fetched = sorted(file.name for file in (plan / "fetched").iterdir())
    assert fetched == ["measured-gate_1.csv", "measured-gate_2.csv"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device-id", "x"), "they follow from the plan"),
        (("--runs", "none"), "invalid"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    options: tuple[str, ...],
    said: str,
    hdap: Hdap,
    plan: Path,
    server: DeviceServer,
    tmp_path: Path,
) -> None:
    hosts = _hosts(server, "gate 1", "gate 2", "gate 3")
    done = hdap("measure", str(plan), "--on", hosts, *options, db=tmp_path / "hdap.db")
    assert done.exit_code == 1
    assert said in done.stdout + done.stderr


def test_a_plan_without_a_device_of_the_file_is_refused(
    hdap: Hdap, plan: Path, server: DeviceServer, tmp_path: Path
) -> None:
    done = hdap("measure", str(plan), "--on", _hosts(server, "other"), db=tmp_path / "hdap.db")
    assert done.exit_code == 1
    assert "name tables as the fleet calls its devices" in done.stderr
