"""A device measures by itself: lost connections, reboots and ends of all kinds.

A program of some lines stands in for measure.pyz here, so that every moment can be chosen; the real
one goes through `hdap measure --on` in tests/cli/test_measure_on.py.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pytest

pytest.importorskip("asyncssh")

from hdap.remote import attendant
from hdap.remote.hosts import Host
from hdap.remote.measuring import Errand, Patience, RemoteMeasurement
from hdap.remote.standing import Standing
from tests.remote.device_server import DeviceServer

QUICK = Patience(look=0.05, retry=0.05, silent=10.0)
ROWS = 6
MEASURE = """
import os, sys, time
out, folder = sys.argv[sys.argv.index("--out") + 1], {folder!r}
print("going on", flush=True)
while os.path.exists(folder + "/wait"):
    time.sleep(0.02)
with open(out, "a") as file:
    done = sum(1 for _ in open(out))
    for row in range(done, {rows} + 1):
        while row > 2 and os.path.exists(folder + "/pause"):
            time.sleep(0.02)
        file.write("row %d\\n" % row if row else "head\\n")
        file.flush()
sys.exit({status})
"""


@dataclass
class Watched:
    """What was told, and what to do when something is."""

    then: Callable[[Standing], None] = lambda _: None
    told: list[Standing] = field(default_factory=list)

    def __call__(self, standing: Standing) -> None:
        self.told.append(standing)
        self.then(standing)

    @property
    def stages(self) -> list[str]:
        """Without repetitions."""
        return [stage for stage, _ in groupby(t.stage for t in self.told)]


@pytest.fixture
def errand(server: DeviceServer, tmp_path: Path) -> Errand:
    (tmp_path / "network.onnx").write_bytes(b"weights" * 1000)
    return _measuring(Errand("gate 1", _with_python(server.host), "b", [], (), ROWS), tmp_path, 0)


def _with_python(host: Host) -> Host:
    return replace(host, python=sys.executable)


def _measuring(errand: Errand, folder: Path, status: int) -> Errand:
    program = folder / "measure.pyz"
    program.write_text(MEASURE.format(folder=str(folder), rows=ROWS, status=status))
    return replace(errand, files=[folder / "network.onnx", program])


def _run(errand: Errand, watched: Watched, patience: Patience = QUICK) -> Standing:
    return asyncio.run(RemoteMeasurement(errand, patience, watched).run())


def _whole(content: bytes) -> bool:
    return content.decode().splitlines() == ["head", *(f"row {i + 1}" for i in range(ROWS))]


def _there(errand: Errand) -> Path:
    return Path(errand.host.folder) / errand.folder


def test_a_bundle_goes_out_and_its_rows_come_back(errand: Errand) -> None:
    watched = Watched()
    end = _run(errand, watched)
    assert (end.stage, end.rows, end.note) == ("done", ROWS, "")
    assert _whole(end.content)
    assert watched.stages[:2] == ["connecting", "copying"]
    copied = {file.name for file in errand.files}
    assert copied <= {file.name for file in _there(errand).iterdir()}


def test_a_phone_does_the_same(errand: Errand, phone: Host) -> None:
    end = _run(replace(errand, host=phone), Watched())
    assert (end.stage, end.rows) == ("done", ROWS)
    assert _whole(end.content)


def test_a_second_time_nothing_is_copied_or_measured_again(errand: Errand) -> None:
    first = _run(errand, Watched())
    watched = Watched()
    end = _run(errand, watched)
    assert end.content == first.content
    assert "copying" not in watched.stages


def test_a_lost_connection_does_not_stop_it(
    errand: Errand, server: DeviceServer, tmp_path: Path
) -> None:
    pause = tmp_path / "pause"
    cut: list[int] = []
    pause.touch()

    def then(standing: Standing) -> None:
        if standing.stage == "measuring" and standing.rows and not cut:
            cut.append(_started(errand))
            server.stop()
        elif standing.stage == "lost" and cut and pause.exists():
            pause.unlink()
            server.start()

    watched = Watched(then)
    end = _run(errand, watched)
    assert cut
    assert (end.stage, end.rows) == ("done", ROWS)
    assert _whole(end.content)
    assert "lost" in watched.stages
    assert _started(errand) == cut[0]


def test_after_a_reboot_it_goes_on_where_it_was(errand: Errand, tmp_path: Path) -> None:
    pause = tmp_path / "pause"
    killed: list[int] = []
    pause.touch()

    def then(standing: Standing) -> None:
        if standing.stage == "measuring" and standing.rows and not killed:
            killed.append(_started(errand))
            os.killpg(killed[0], signal.SIGKILL)
            pause.unlink()

    end = _run(errand, Watched(then))
    assert (end.stage, end.rows) == ("done", ROWS)
    assert _whole(end.content)
    assert _started(errand) != killed[0]


def _started(errand: Errand) -> int:
    return int(json.loads((_there(errand) / attendant.STATE).read_text())["pid"])


def test_who_watches_anew_does_not_start_it_again(errand: Errand, tmp_path: Path) -> None:
    (tmp_path / "pause").touch()

    async def stopped() -> None:
        seen = asyncio.Event()
        watched = Watched(lambda standing: seen.set() if standing.rows else None)
        watching = asyncio.create_task(RemoteMeasurement(errand, QUICK, watched).run())
        await seen.wait()
        watching.cancel()
        await asyncio.wait([watching])

    asyncio.run(stopped())
    first = _started(errand)
    watched = Watched(lambda standing: (tmp_path / "pause").unlink(missing_ok=True))
    end = _run(errand, watched)
    assert (end.stage, end.rows) == ("done", ROWS)
    log = (_there(errand) / attendant.LOG).read_text()
    assert log.count("going on") <= 2  # at its end it is asked once more whether anything is left
    assert _whole(end.content)
    assert first


def test_what_fails_in_part_brings_what_there_is(errand: Errand, tmp_path: Path) -> None:
    end = _run(_measuring(errand, tmp_path, status=1), Watched())
    assert (end.stage, end.rows, end.note) == ("failed", ROWS, "going on")
    assert _whole(end.content)


def test_a_file_that_is_not_as_it_was_sent_is_sent_again(errand: Errand) -> None:
    _run(errand, Watched())
    sent = _there(errand) / "network.onnx"
    sent.write_bytes(bytes(sent.stat().st_size))
    watched = Watched()
    assert _run(errand, watched).stage == "done"
    assert "copying" in watched.stages
    assert sent.read_bytes() == errand.files[0].read_bytes()


@pytest.mark.parametrize("status", [2, 137])
def test_what_cannot_measure_is_given_up(status: int, errand: Errand, tmp_path: Path) -> None:
    end = _run(_measuring(errand, tmp_path, status), Watched())
    assert (end.stage, end.note) == ("failed", "going on")
    assert _whole(end.content)  # what it did measure is worth having


def test_a_python_that_is_none_is_told(errand: Errand) -> None:
    end = _run(replace(errand, host=replace(errand.host, python="no-python")), Watched())
    assert end.stage == "failed"
    assert "`python` must be a Python 3.9 or later on the device" in end.note


def test_a_device_that_never_answers_is_given_up(errand: Errand, server: DeviceServer) -> None:
    server.stop()
    began = time.monotonic()
    end = _run(errand, Watched(), replace(QUICK, silent=0.3))
    assert end.stage == "silent"
    assert time.monotonic() - began < 5
    server.start()


def test_a_number_of_a_process_means_nothing_after_a_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boot").write_text("one")
    monkeypatch.setattr(attendant, "BOOT", "boot")
    (tmp_path / "measure.pyz").write_text("import time; time.sleep(60)")
    attendant.start([])
    assert attendant.running()
    (tmp_path / "boot").write_text("two")
    assert not attendant.running()
    os.killpg(json.loads((tmp_path / attendant.STATE).read_text())["pid"], signal.SIGKILL)
