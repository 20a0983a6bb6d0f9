import csv
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
        return lambda: procs.write_text(str(os.getpid())) and None

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
        [sys.executable, "measure.py", *options],
        cwd=bundle,
        preexec_fn=enter,
        check=True,
        capture_output=True,
        timeout=120,
    )
    with out.open(newline="") as file:
        return {row["channels"]: float(row["latency_ms"]) for row in csv.DictReader(file)}


def test_a_cpu_quota_makes_another_device_of_this_machine(bundle: Path, cgroup: Group) -> None:
    whole = _measure(bundle, "whole", None)
    third = _measure(bundle, "third", cgroup("third", 1 / 3))
    assert whole.keys() == third.keys()
    slower = statistics.median(third[channels] / whole[channels] for channels in whole)
    # Other work on the machine moves both; a third of a core is 3 times slower.
    assert 1.8 < slower < 5
    relative = [
        {channels: ms / device[""] for channels, ms in device.items()} for device in (whole, third)
    ]
    for channels in whole:
        assert relative[1][channels] == pytest.approx(relative[0][channels], rel=0.25)
    shutil.rmtree(bundle)
