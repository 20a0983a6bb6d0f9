"""The switcher with real ONNX Runtime sessions, clients in threads and files that are changed."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hdap.device.archive import program
from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import OpenNetwork
from hdap.device.switcher import Switcher, SwitchSettings
from tests.device.switcher_clients import Image, clients, until


def test_every_variant_answers_as_its_network(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    with Switcher(str(portfolio_bundle)) as switcher:
        assert switcher.current == "v2"
        for name in ("v0", "v2", "v1"):
            switcher.switch(name)
            assert switcher.wait(30)
            assert switcher.current == name
            for form in (image, image[None], image.astype(np.float64)):
                assert switcher.run(form)[0] == pytest.approx(expected[name], rel=1e-4, abs=1e-4)


def test_a_hundred_swaps_under_load_lose_no_request(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    with Switcher(str(portfolio_bundle), workers=2) as switcher:
        with clients(switcher, image, expected) as told:
            for swap in range(100):
                switcher.switch(f"v{swap % 3}")
                assert switcher.wait(30)
        stats = switcher.stats()
        assert told.lost == []
        assert told.asked > 100
        assert told.variants == {"v0", "v1", "v2"}
        assert (stats.switches, stats.refused, stats.failures) == (100, 0, 0)
        assert stats.requests == told.asked
        assert stats.current == "v0"


def test_a_switch_returns_at_once_and_a_later_wish_replaces_one_that_waits(
    portfolio_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go = threading.Event(), threading.Event()
    opened: list[str] = []
    with Switcher(str(portfolio_bundle)) as switcher:
        usual = switcher.sessions.open

        def slowly(place: int) -> object:
            opened.append(f"v{place}")
            opening.set()
            assert go.wait(30)
            return usual(place)

        monkeypatch.setattr(switcher.sessions, "open", slowly)
        switcher.switch("v0")
        assert opening.wait(30)
        switcher.switch("v2")
        switcher.switch("v1")
        assert switcher.current == "v2"
        assert switcher.stats().switching_to == "v1"
        assert not switcher.wait(0.05)
        switcher.run(np.zeros((3, 16, 16), dtype=np.float32))  # served meanwhile
        go.set()
        assert switcher.wait(30)
        assert opened == ["v0", "v1"]
        assert switcher.current == "v1"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own")
def test_a_more_costly_variant_is_opened_after_requests_and_a_faster_one_beside_them(
    portfolio_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[int, int] = {}
    with Switcher(str(portfolio_bundle), start="v1") as switcher:
        usual = switcher.sessions.open

        def open_(place: int) -> object:
            told[place] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
            return usual(place)

        monkeypatch.setattr(switcher.sessions, "open", open_)
        for name in ("v0", "v2"):
            switcher.switch(name)
            assert switcher.wait(30)
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert told[0] == here
    assert told[2] == min(19, here + 10)


def test_the_old_session_lives_until_its_last_request_has_ended(
    portfolio_bundle: Path, image: Image
) -> None:
    running, go = threading.Event(), threading.Event()

    class Held(OpenNetwork):
        """A network whose next inference takes as long as the test wants."""

        def __init__(self, network: OpenNetwork) -> None:
            self.network = network

        def run(self, image: Image) -> Sequence[Image]:
            running.set()
            assert go.wait(30)
            return self.network.run(image)

    with Switcher(str(portfolio_bundle), workers=4) as switcher:
        old = switcher.serving.current
        assert old.network is not None
        old.network = Held(old.network)
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(switcher.answer(image).variant))
        thread.start()
        assert running.wait(30)
        switcher.switch("v0")
        assert until(lambda: switcher.current == "v0")
        assert switcher.answer(image).variant == "v0"
        assert old.network is not None
        assert not switcher.wait(0.05)
        go.set()
        thread.join(30)
        assert answers == ["v2"]
        assert switcher.wait(30)
        assert old.network is None


def test_state_and_stats_say_what_requests_were_like(portfolio_bundle: Path, image: Image) -> None:
    with Switcher(str(portfolio_bundle), start="v1", workers=1) as switcher:
        for _ in range(20):
            switcher.run(image)
        state, stats = switcher.state(), switcher.stats()
    assert state.names == ("v0", "v1", "v2")
    assert state.current == 1
    assert state.rate == pytest.approx(20 / SwitchSettings().window_s, rel=0.2)
    assert state.p95_ms is not None
    assert stats.p50_ms is not None
    assert stats.p95_ms is not None
    assert 0 < stats.p50_ms <= stats.p95_ms
    assert state.costs_ms[0] < state.costs_ms[1] < state.costs_ms[2]
    assert [cost.measured for cost in switcher.costs()] == [False, True, False]
    assert (stats.requests, stats.failures, stats.running, stats.queue) == (20, 0, 0, 0)
    if sys.platform == "linux":
        assert stats.rss_mb is not None
        assert state.memory_mb[1] == pytest.approx(stats.rss_mb, rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 16, 15), dtype=np.float32),
        np.zeros((2, 3, 16, 16), dtype=np.float32),
        np.zeros((3, 16, 16), dtype=np.complex64),
        np.zeros((3, 16, 16), dtype=object),
    ],
)
def test_another_input_is_one_line_and_counts_as_a_failure(
    portfolio_bundle: Path, wrong: NDArray[np.generic]
) -> None:
    with Switcher(str(portfolio_bundle), start="v0") as switcher:
        with pytest.raises(DeviceError, match=r"an input must be numbers of shape \[3, 16, 16\]"):
            switcher.run(wrong)
        stats = switcher.stats()
        assert (stats.requests, stats.failures, stats.running) == (1, 1, 0)


def test_closing_lets_running_requests_end_and_takes_no_more(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    switcher = Switcher(str(portfolio_bundle))
    threads = [threading.Thread(target=switcher.run, args=(image,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    switcher.switch("v0")
    switcher.close()
    for thread in threads:
        thread.join(30)
    stats = switcher.stats()
    assert stats.running == 0
    with pytest.raises(DeviceError, match="must be open"):
        switcher.run(image)
    switcher.close()


def test_an_unknown_variant_names_the_nearest(portfolio_bundle: Path) -> None:
    with (
        Switcher(str(portfolio_bundle), start="v0") as switcher,
        pytest.raises(
            DeviceError, match="must be one of v0, v1, v2, but got 'v22': did you mean `v2`"
        ),
    ):
        switcher.switch("v22")
    with pytest.raises(DeviceError, match="one of v0, v1, v2"):
        Switcher(str(portfolio_bundle), start="x")


def test_the_one_file_that_travels_runs_without_hdap(portfolio_bundle: Path) -> None:
    (portfolio_bundle / "switcher.pyz").write_bytes(program("switcher"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "switcher.pyz", ".", *arguments]
        return subprocess.run(
            command, cwd=portfolio_bundle, capture_output=True, text=True, timeout=120, check=False
        )

    told = run("--runs", "3")
    assert (told.returncode, told.stderr) == (0, "")
    assert [row.split()[0] for row in told.stdout.splitlines()[2:]] == ["v0", "v1", "v2"]
    assert run("--check").stdout == "3 variants of small: files are as built\n"
    (portfolio_bundle / "v1.onnx").write_bytes(b"x")
    wrong = run("--check")
    assert wrong.returncode == 1
    assert "v1.onnx must have" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1
