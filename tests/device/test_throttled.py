import csv
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle

PERIOD_US = 5_000
Group = Callable[[str, float], Callable[[], None]]


class _Cgroups:
    """Groups below the one that this process is in, or a reason why there can be none."""

    def __init__(self) -> None:
        one, two = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
        self.made: list[Path] = []
        self.old = (one / "cpu.cfs_quota_us").exists()
        self.base = one if self.old else two
        self.obstacle = self._probe()

    def _probe(self) -> str:
        if not self.old:
            controllers = self.base / "cgroup.subtree_control"
            if not controllers.exists():
                return "no cgroup file system"
            if "cpu" not in controllers.read_text().split():
                return "the cgroup cpu controller is not delegated"
        try:
            self._make("probe", 0.5)
        except OSError as error:
            return f"no cgroup may be made: {error}"
        return ""

    def _make(self, name: str, quota: float) -> Path:
        folder = self.base / f"hdap-test-{os.getpid()}-{name}"
        folder.mkdir()
        self.made.append(folder)
        micros = int(quota * PERIOD_US)
        if self.old:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(micros))
        else:
            (folder / "cpu.max").write_text(f"{micros} {PERIOD_US}")
        return folder

    def group(self, name: str, quota: float) -> Callable[[], None]:
        """What a child must call before it starts, to have `quota` of one core."""
        procs = self._make(name, quota) / "cgroup.procs"

        def enter() -> None:
            procs.write_text(str(os.getpid()))

        return enter

    def remove(self) -> None:
        for folder in self.made:
            folder.rmdir()


@pytest.fixture
def cgroup() -> Iterator[Group]:
    groups = _Cgroups()
    try:
        if groups.obstacle:
            pytest.skip(f"needs a cgroup CPU quota: {groups.obstacle}")
        yield groups.group
    finally:
        groups.remove()


def _measure(bundle: Path, name: str, enter: Callable[[], None] | None) -> dict[str, float]:
    out = bundle / f"{name}.csv"
    options = ["--device-id", name, "--out", str(out), "--min-seconds", "0.6", "--rounds", "1"]
    subprocess.run(
        [sys.executable, "measure.pyz", *options],
        cwd=bundle,
        preexec_fn=enter,
        check=True,
        capture_output=True,
        timeout=120,
    )
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    wait = min(float(row["reference_wait"]) for row in rows)
    if enter is None and wait > 1.2:
        pytest.skip(f"the machine is too busy: without a quota inferences take {wait:.1f} times")
    return {row["channels"]: float(row["latency_ms"]) for row in rows}


@pytest.fixture
def slow_bundle(small_model: tuple[nn.Module, Architecture], tmp_path: Path) -> Path:
    # An inference must last several periods of the quota, or its median does not see it.
    module = small_model[0]
    architecture = trace(module, name="small", input_shape=(3, 256, 256))
    half = tuple((architecture.widths // 2).tolist())
    return write_bundle(
        tmp_path / "slow", architecture, module, [PlannedConfiguration(half)]
    ).folder


def test_a_cpu_quota_makes_other_devices_of_this_machine(slow_bundle: Path, cgroup: Group) -> None:
    whole = _measure(slow_bundle, "whole", None)
    slowdown = {}
    for quota in (0.5, 0.2):
        device = _measure(slow_bundle, f"quota-{quota}", cgroup(str(quota), quota))
        assert device.keys() == whole.keys()
        slowdown[quota] = statistics.median(device[c] / whole[c] for c in whole)
        for channels in whole:
            assert device[channels] / device[""] == pytest.approx(
                whole[channels] / whole[""], rel=0.25
            )
    # Other work on the machine moves all of them; the quota moves them by these factors.
    assert slowdown[0.5] == pytest.approx(2, rel=0.35)
    assert slowdown[0.2] == pytest.approx(5, rel=0.35)
