"""One machine as several devices: a CPU quota, and memory traffic from another core.

A quota of q in a period of 5 ms gives a process q of one core; an inference that lasts several
periods then takes 1/q times as long, as at a lower clock. The devices are emulated, their latencies
are not: whatever runs under a condition is really timed there.
"""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

PERIOD_US = 5_000
TRAFFIC_MIB = 256
"""Copied again and again by another core: more than any cache holds."""
SPREAD = 0.02
"""Devices of one condition differ in their quota by this factor each."""


@dataclass(frozen=True)
class Condition:
    """What devices of one kind have: `quota` of a core, and `traffic` from another core or not."""

    name: str
    quota: float
    traffic: bool = False

    @property
    def words(self) -> str:
        """For a reader: `80 % of a core, memory traffic`."""
        share = "a whole core" if self.quota == 1.0 else f"{100 * self.quota:.0f} % of a core"
        return share + (", memory traffic" if self.traffic else "")


@dataclass(frozen=True)
class Device:
    """One emulated device: `quota` is its own share of a core (1 is no limit)."""

    name: str
    condition: Condition
    quota: float


CONDITIONS = (
    Condition("full", 1.0),
    Condition("busy", 0.75, traffic=True),
    Condition("warm", 0.58),
    Condition("hot", 0.44),
)


def devices(conditions: Sequence[Condition], each: int, limited: bool) -> list[Device]:
    """`each` devices a condition; without `limited` none has a quota."""
    return [
        Device(f"{c.name}-{i + 1}", c, c.quota * (1.0 - SPREAD * i) if limited else 1.0)
        for c in conditions
        for i in range(each)
    ]


class Quotas:
    """Groups of the cgroup CPU controller (version 1 or 2); `obstacle` says why there are none."""

    def __init__(self) -> None:
        one, two = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
        self._old = (one / "cpu.cfs_quota_us").exists()
        self._base = one if self._old else two
        self.obstacle = self._probe()

    def _probe(self) -> str:
        controllers = self._base / "cgroup.subtree_control"
        if not self._old and not controllers.exists():
            return "there is no cgroup file system"
        if not self._old and "cpu" not in controllers.read_text().split():
            return "the cgroup cpu controller is not delegated"
        try:
            with self.group(0.5):
                return ""
        except OSError as error:
            return str(error)

    @contextlib.contextmanager
    def group(self, quota: float) -> Iterator[Path]:
        """The file that a process writes its id to, to have `quota` of one core from then on."""
        folder = self._base / f"hdap-proof-{os.getpid()}"
        folder.mkdir()
        try:
            micros = int(quota * PERIOD_US)
            if self._old:
                (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (folder / "cpu.cfs_quota_us").write_text(str(micros))
            else:
                (folder / "cpu.max").write_text(f"{micros} {PERIOD_US}")
            yield folder / "cgroup.procs"
        finally:
            folder.rmdir()


def cores() -> tuple[int, int | None]:
    """The core that measures, and the one that traffic comes from (None: there is one core)."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1] if len(usable) > 1 else None


def run_on(device: Device, quotas: Quotas, command: Sequence[str | Path]) -> None:
    """Run a command as if on the device; what it says on stderr is shown where it fails."""
    measuring, other = cores()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(quotas.group(device.quota)) if device.quota < 1.0 else None
        if device.condition.traffic and other is not None:
            stack.enter_context(_traffic(other))
        enter = _enter(measuring, file)
        # preexec_fn: the limits must hold before the program starts; no thread forks here.
        done = subprocess.run(
            [str(part) for part in command],
            preexec_fn=enter,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"measuring on {device.name} failed:\n{done.stderr}")


def measure_on(
    device: Device,
    quotas: Quotas,
    bundle: Path,
    options: Sequence[str],
    say: Callable[[str], None],
) -> Path:
    """What `measure.pyz` writes of a bundle on the device; what was measured there whole stays."""
    out = bundle / f"measured-{device.name}.csv"
    done = out.with_suffix(".done")
    if done.exists():
        return out
    began = time.monotonic()
    command: list[str | Path] = [sys.executable, bundle / "measure.pyz"]
    run_on(device, quotas, [*command, "--device-id", device.name, "--out", out, *options])
    done.touch()
    rows = out.read_text().count("\n") - 1
    say(
        f"measured {rows} rows of {bundle.parent.name}/{bundle.name} on {device.name} "
        f"({device.condition.words}) in {time.monotonic() - began:.0f} s"
    )
    return out


def _enter(core: int, file: Path | None) -> Callable[[], None]:
    def enter() -> None:
        os.sched_setaffinity(0, {core})
        if file is not None:
            file.write_text(str(os.getpid()))

    return enter


@contextlib.contextmanager
def _traffic(core: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    rival = context.Process(target=_copy, args=(core, stop), daemon=True)
    rival.start()
    try:
        yield
    finally:
        stop.set()
        rival.join()


def _copy(core: int, stop: Event) -> None:
    os.sched_setaffinity(0, {core})
    source = np.ones(TRAFFIC_MIB * 2**17)
    target = np.empty_like(source)
    while not stop.is_set():
        np.copyto(target, source)
