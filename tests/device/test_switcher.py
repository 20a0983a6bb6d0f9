"""The switcher with real ONNX Runtime sessions, clients in threads and files that are changed."""

import hashlib
import json
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from hdap.device.archive import program
from hdap.device.messages import DeviceError, TurnedAway
from hdap.device.policies.base import Decision, Policy, State
from hdap.device.policies.named_variants import Fixed
from hdap.device.policies.request_limits import LatencyTarget
from hdap.device.process import page_in
from hdap.device.runtimes.base import OpenNetwork
from hdap.device.serving import Slots
from hdap.device.switcher import Switcher, SwitchSettings
from hdap.fleet_data.documents import document_digest

Image = NDArray[np.float32]
QUICK = SwitchSettings(dwell_s=0.05, period_s=0.02, window_s=0.5, retry_s=0.2)


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(0).standard_normal((3, 16, 16)).astype(np.float32)


@pytest.fixture
def expected(made_portfolio: Path, image: Image) -> dict[str, Image]:
    """What each variant says, from a plain session."""
    return {
        name: onnxruntime.InferenceSession(
            made_portfolio / f"{name}.onnx", providers=["CPUExecutionProvider"]
        ).run(None, {"input": image[None]})[0]
        for name in ("v0", "v1", "v2")
    }


@dataclass
class Clients:
    """Threads that ask without a pause; every answer is compared with that of its variant."""

    asked: int = 0
    lost: list[str] = field(default_factory=list)
    variants: set[str] = field(default_factory=set)


@contextmanager
def clients(
    switcher: Switcher, image: Image, expected: dict[str, Image], number: int = 4
) -> Iterator[Clients]:
    told, stop, lock = Clients(), threading.Event(), threading.Lock()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = switcher.answer(image)
                wrong = not np.allclose(answer.outputs[0], expected[answer.variant], atol=1e-4)
            except Exception as error:
                wrong, answer = True, None
                told.lost.append(repr(error))
            with lock:
                told.asked += 1
                if answer is not None:
                    told.variants.add(answer.variant)
                    if wrong:
                        told.lost.append(f"another answer than {answer.variant}'s")

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


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


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_file_that_is_not_as_built_is_refused_and_the_running_variant_keeps_serving(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image], damage: str
) -> None:
    path = portfolio_bundle / "v0.onnx"
    good = path.read_bytes()
    if damage == "changed":
        path.write_bytes(good[:-9] + bytes(1) + good[-8:])
    elif damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    else:
        path.unlink()
    lines: list[str] = []
    with Switcher(str(portfolio_bundle), log=lines.append) as switcher:
        with clients(switcher, image, expected, 2) as told:
            switcher.switch("v0")
            assert switcher.wait(30)
            asked = told.asked
            assert until(lambda: told.asked > asked)
        stats = switcher.stats()
        assert (stats.current, stats.refused, stats.failures, told.lost) == ("v2", 1, 0, [])
        assert "v0.onnx must" in lines[-1]
        assert "v2 keeps serving" in lines[-1]
        assert "\n" not in lines[-1]
        if damage != "gone":
            digest = json.loads((portfolio_bundle / "portfolio.json").read_text())
            assert digest["variants"][0]["files"]["v0.onnx"]["sha256"] in lines[-1]
        path.write_bytes(good)
        switcher.switch("v0")
        assert switcher.wait(30)
        assert switcher.current == "v0"


def test_a_file_changed_under_a_running_variant_is_noticed_when_it_is_opened_again(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    with Switcher(str(portfolio_bundle), start="v0") as switcher:
        path = portfolio_bundle / "v0.onnx"
        times = path.stat()
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert switcher.run(image)[0] == pytest.approx(expected["v0"], rel=1e-4, abs=1e-4)
        for name, now in (("v1", "v1"), ("v0", "v1")):
            switcher.switch(name)
            assert switcher.wait(30)
            assert switcher.current == now


def test_what_this_machine_keeps_is_checked_too_and_made_again(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image], tmp_path: Path
) -> None:
    cache, lines = tmp_path / "cache", list[str]()
    with Switcher(str(portfolio_bundle), start="v1", cache=str(cache)):
        (kept,) = cache.glob("*/v1.bin")
    kept.write_bytes(kept.read_bytes()[:-100])
    with Switcher(
        str(portfolio_bundle), start="v1", cache=str(cache), log=lines.append
    ) as switcher:
        assert switcher.run(image)[0] == pytest.approx(expected["v1"], rel=1e-4, abs=1e-4)
    assert "made again" in lines[0]
    made = kept.stat().st_mtime_ns
    with Switcher(str(portfolio_bundle), start="v1", cache=str(cache)):
        assert kept.stat().st_mtime_ns == made


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_mapped_and_unmapped_when_their_variant_is_released(
    portfolio_bundle: Path,
) -> None:
    def mapped() -> set[str]:
        rows = Path(f"/proc/{os.getpid()}/maps").read_text().splitlines()
        return {Path(r.split()[-1]).name for r in rows if str(portfolio_bundle) in r}

    with Switcher(str(portfolio_bundle), start="v2") as switcher:
        assert mapped() == {"v2.bin"}
        switcher.switch("v1")
        assert switcher.wait(30)
        assert mapped() == {"v1.bin"}
    assert mapped() == set()


def test_a_policy_chooses_and_says_why(portfolio_bundle: Path) -> None:
    class Wanted(Policy):
        place = 0

        @classmethod
        def read(cls, text: str) -> "Wanted":
            return cls()

        def decide(self, state: State) -> Decision:
            return Decision(self.place, f"it is {self.place}")

    policy, lines = Wanted(), list[str]()
    with Switcher(
        str(portfolio_bundle), policy=policy, settings=QUICK, log=lines.append
    ) as switcher:
        assert switcher.current == "v0"
        policy.place = 2
        assert until(lambda: switcher.current == "v2")
        policy.place = 1
        assert until(lambda: switcher.current == "v1")
        assert any("to v2 (from v0" in x and "it is 2" in x for x in lines)
        assert any("to v1 (from v2" in x and "it is 1" in x for x in lines)
        switcher.switch("v2")
        assert until(lambda: switcher.current == "v2")
        time.sleep(5 * QUICK.period_s)
        assert switcher.current == "v2"
        assert switcher.stats().held
        switcher.follow()
        assert until(lambda: switcher.current == "v1")


def test_switches_are_bounded_and_the_log_says_so(portfolio_bundle: Path) -> None:
    class Restless(Policy):
        plan = (1, 2, 1, 0)
        at = 0

        @classmethod
        def read(cls, text: str) -> "Restless":
            return cls()

        def decide(self, state: State) -> Decision:
            self.at += state.current == self.plan[self.at]
            return Decision(self.plan[self.at], "never content")

    lines: list[str] = []
    settings = SwitchSettings(dwell_s=0.0, most_switches=3, within_s=1e3, period_s=0.01)
    with Switcher(
        str(portfolio_bundle), start="v2", policy=Restless(), settings=settings, log=lines.append
    ) as switcher:
        assert until(lambda: "are enough" in lines[-1])
        time.sleep(0.1)
        assert (switcher.current, switcher.stats().switches) == ("v1", 3)
    assert "stay with v1: 3 switches in 1000 s are enough; never content" in lines[-1]


def test_what_is_no_longer_wanted_when_it_is_ready_does_not_serve(
    portfolio_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wanted(Policy):
        place = 0

        @classmethod
        def read(cls, text: str) -> "Wanted":
            return cls()

        def decide(self, state: State) -> Decision:
            return Decision(self.place, "wanted")

    policy, lines = Wanted(), list[str]()
    opening, go = threading.Event(), threading.Event()
    with Switcher(
        str(portfolio_bundle), policy=policy, settings=QUICK, log=lines.append
    ) as switcher:
        usual = switcher.sessions.open

        def slowly(place: int) -> object:
            opening.set()
            assert go.wait(30)
            return usual(place)

        monkeypatch.setattr(switcher.sessions, "open", slowly)
        policy.place = 2
        assert opening.wait(30)
        policy.place = 0
        go.set()
        assert until(lambda: "v2 is ready, but no longer wanted" in lines[-1])
        assert switcher.current == "v0"
        assert switcher.stats().switches == 0


def test_a_policy_whose_variant_is_damaged_gets_the_next_that_is_not(
    portfolio_bundle: Path,
) -> None:
    (portfolio_bundle / "v2.onnx").write_bytes(b"")
    lines: list[str] = []
    with Switcher(
        str(portfolio_bundle), policy=Fixed("v2"), settings=QUICK, log=lines.append
    ) as switcher:
        assert until(lambda: switcher.current == "v1")
        assert until(lambda: any("v0 keeps serving" in x for x in lines))


def test_with_a_policy_the_fastest_that_is_as_built_starts(portfolio_bundle: Path) -> None:
    (portfolio_bundle / "v0.onnx").unlink()
    with Switcher(str(portfolio_bundle), policy=Fixed("v1"), settings=QUICK) as switcher:
        assert switcher.current == "v1"
    with pytest.raises(DeviceError, match=r"v0\.onnx must be readable"):
        Switcher(str(portfolio_bundle), start="v0", policy=Fixed("v1"))


def test_a_policy_that_fails_is_told_and_stops_nothing(portfolio_bundle: Path) -> None:
    class Broken(Policy):
        asked = 0

        @classmethod
        def read(cls, text: str) -> "Broken":
            return cls()

        def decide(self, state: State) -> Decision:
            self.asked += 1
            if self.asked == 2:
                raise RuntimeError("no idea\nat all")
            return Decision(min(self.asked, 2), "asked")

    lines: list[str] = []
    with Switcher(
        str(portfolio_bundle), policy=Broken(), settings=QUICK, log=lines.append
    ) as switcher:
        assert until(lambda: switcher.current == "v2")
    assert any("the policy failed, no idea" in x and "\n" not in x for x in lines)


def test_a_policy_that_nothing_satisfies_is_one_line_at_the_start(portfolio_bundle: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"some variant must satisfy the policy.*nearest is v0 at"
    ):
        Switcher(str(portfolio_bundle), policy=LatencyTarget(1e-6))
    with pytest.raises(DeviceError, match="a variant must be one of v0, v1, v2, but got 'v9'"):
        Switcher(str(portfolio_bundle), policy=Fixed("v9"))


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


def test_what_onnx_runtime_does_not_open_is_one_line(portfolio_bundle: Path) -> None:
    path = portfolio_bundle / "portfolio.json"
    document = json.loads(path.read_text())
    del document["digest"]
    content = b"no network"
    (portfolio_bundle / "v2.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    document["variants"][2]["files"] = {"v2.onnx": {"bytes": len(content), "sha256": digest}}
    path.write_text(json.dumps(document | {"digest": document_digest(document)}))
    with pytest.raises(DeviceError, match=r"v2\.onnx must be a network that onnxruntime") as raised:
        Switcher(str(portfolio_bundle))
    assert "\n" not in str(raised.value)
    lines: list[str] = []
    with Switcher(str(portfolio_bundle), start="v0", log=lines.append) as switcher:
        assert "v2.onnx must be a network that onnxruntime runs" in lines[0]
        switcher.switch("v2")
        assert switcher.wait(30)
        assert switcher.current == "v0"
    (portfolio_bundle / "file").touch()
    with pytest.raises(DeviceError, match="Not a directory"):
        Switcher(str(portfolio_bundle), start="v0", cache=str(portfolio_bundle / "file" / "x"))


def test_manifests_that_are_not_as_built_are_one_line(portfolio_bundle: Path) -> None:
    path = portfolio_bundle / "portfolio.json"
    document = json.loads(path.read_text())
    del document["digest"]

    def refused(match: str, **change: object) -> None:
        changed = document | change
        path.write_text(json.dumps(changed | {"digest": document_digest(changed)}))
        with pytest.raises(DeviceError, match=match) as raised:
            Switcher(str(portfolio_bundle))
        assert "\n" not in str(raised.value)

    refused("must have format 1", format=2)
    refused("must be a file of `hdap portfolio build`", kind="other")
    refused("one variant or more", variants=[])
    refused(r"is damaged \(KeyError: 'shape'\)", input={"name": "input"})
    outside = document["variants"][0] | {"files": {"../v0.onnx": {"bytes": 1, "sha256": ""}}}
    refused("files of its own folder", variants=[outside])
    path.write_text(json.dumps(document | {"digest": document_digest(document), "model": "x"}))
    with pytest.raises(DeviceError, match="damaged or was changed by hand"):
        Switcher(str(portfolio_bundle))
    with pytest.raises(DeviceError, match="can be read"):
        Switcher(str(portfolio_bundle / "nowhere"))


def test_workers_are_given_in_the_order_of_arrival() -> None:
    slots, order = Slots(1), list[int]()

    def work(place: int) -> None:
        with slots:
            order.append(place)

    threads = []
    with slots:
        for place in range(8):
            thread = threading.Thread(target=work, args=(place,))
            thread.start()
            threads.append(thread)
            assert until(lambda: slots.waiting == len(threads))
    for thread in threads:
        thread.join(30)
    assert order == list(range(8))
    assert slots.waiting == 0


def test_those_who_wait_are_turned_away_and_those_who_work_are_not() -> None:
    slots, told = Slots(1), list[str]()

    def wait() -> None:
        try:
            with slots:
                told.append("worked")
        except TurnedAway:
            told.append("turned away")

    threads = [threading.Thread(target=wait) for _ in range(3)]
    with slots:
        for thread in threads:
            thread.start()
        assert until(lambda: slots.waiting == len(threads))
        slots.turn_away()
        for thread in threads:
            thread.join(30)
        with pytest.raises(TurnedAway), slots:
            told.append("worked")
    assert told == 3 * ["turned away"]
    with slots:
        assert slots.waiting == 0


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


def test_weights_in_a_file_of_their_own_are_checked_and_served(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    network = onnx.load(portfolio_bundle / "v2.onnx")
    onnx.save(
        network,
        portfolio_bundle / "v2.onnx",
        save_as_external_data=True,
        location="v2.bin",
        size_threshold=1024,
    )
    path = portfolio_bundle / "portfolio.json"
    document = json.loads(path.read_text())
    del document["digest"]
    document["variants"][2]["files"] = {
        name: {
            "bytes": (portfolio_bundle / name).stat().st_size,
            "sha256": hashlib.sha256((portfolio_bundle / name).read_bytes()).hexdigest(),
        }
        for name in ("v2.onnx", "v2.bin")
    }
    path.write_text(json.dumps(document | {"digest": document_digest(document)}))
    with Switcher(str(portfolio_bundle)) as switcher:
        assert switcher.run(image)[0] == pytest.approx(expected["v2"], rel=1e-4, abs=1e-4)
    weights = portfolio_bundle / "v2.bin"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DeviceError, match=r"v2\.bin must have"):
        Switcher(str(portfolio_bundle))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_pages_of_a_mapped_file_are_entered_at_once(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 4096)

    def resident() -> int:
        found, here = 0, False
        for row in Path("/proc/self/smaps").read_text().splitlines():
            if "-" in row.split(maxsplit=1)[0]:
                here = row.endswith(str(path))
            elif here and row.startswith("Rss:"):
                found += int(row.split()[1])
        return found

    assert not page_in(str(path))  # nobody maps it
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert resident() == 0
        could = page_in(str(path))
        assert could == (resident() == len(view) // 1024)
