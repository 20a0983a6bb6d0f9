"""`hdap portfolio serve` as a person starts it, on a real port."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

Hdap = Callable[..., Result]


class Server:
    """The command in a process of its own; `told` is what it said on standard error so far."""

    def __init__(self, bundle: Path, *options: str) -> None:
        command = [sys.executable, "-m", "hdap", "portfolio", "serve", str(bundle), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.told: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        words = (word for row in self.process.stdout for word in row.split())
        self.address = next(word for word in words if word.startswith("http"))

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.told.extend(self.process.stderr)

    def ask(self, path: str, body: bytes | None = None, kind: str = "") -> dict[str, object]:
        headers = {"Content-Type": kind or "application/octet-stream"}
        request = urllib.request.Request(f"{self.address}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, object] = json.load(answer)
        return told

    def end(self) -> tuple[int, str]:
        """Ctrl-C; exit status and what was left on standard output."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGINT)
        left = self.process.stdout.read()
        status = self.process.wait(30)
        self._reader.join(30)
        return status, left


@pytest.fixture
def server(portfolio_bundle: Path) -> Iterator[Server]:
    started = Server(portfolio_bundle, "--policy", "latency:10s", "--dwell", "0.2")
    yield started
    started.process.kill()
    started.process.communicate()


def test_it_answers_follows_its_policy_switches_and_ends_with_ctrl_c(server: Server) -> None:
    image = np.zeros((3, 16, 16), dtype=np.float32)
    assert server.ask("/predict", image.tobytes())["variant"] in ("v0", "v2")
    end = time.monotonic() + 30
    while server.ask("/status")["current"] != "v2" and time.monotonic() < end:
        time.sleep(0.05)
    assert server.ask("/status")["current"] == "v2"
    server.ask("/switch", b'{"variant": "v1"}', "application/json")
    while server.ask("/status")["current"] != "v1" and time.monotonic() < end:
        time.sleep(0.05)
    assert server.ask("/predict", image.tobytes())["variant"] == "v1"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server.ask("/predict", b"no image")
    status, left = server.end()
    assert (status, left.strip()) == (0, "stopped")
    assert any("start with v0" in row for row in server.told)
    assert any("to v2 (from v0" in row and "ms p95 of 10000 ms" in row for row in server.told)
    assert any("to v1 (from v2" in row and "asked for" in row for row in server.told)
    assert not any("Traceback" in row for row in server.told)


def test_a_request_that_runs_has_its_answer_before_the_end(portfolio_bundle: Path) -> None:
    server = Server(portfolio_bundle, "-q")
    at = server.address.removeprefix("http://").split(":")
    body = bytes(3 * 16 * 16 * 4)
    with socket.create_connection((at[0], int(at[1])), timeout=60) as client:
        head = f"POST /predict HTTP/1.1\r\nHost: {at[0]}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body[:100])
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        client.sendall(body[100:])
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.process.wait(30) == 0
    server.process.communicate()
    assert server.told == []


def test_a_port_in_use_is_one_line(hdap: Hdap, portfolio_bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = hdap("portfolio", "serve", str(portfolio_bundle), "--port", str(port))
    assert done.exit_code == 1
    assert f"{port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--policy", "latency:0.000001ms"), "some variant must satisfy the policy"),
        (("--policy", "speed:9"), "a policy must be one of fixed, latency, load"),
        (("--policy", "latency:soon"), "must be latency:TIME, as 30ms"),
        (("--policy", "fixed:v7"), "must be one of v0, v1, v2"),
        (("--start", "v7"), "one of v0, v1, v2, but got 'v7': choose"),
        (("--host", "0.0.0.0"), "--host 0.0.0.0 has none: set HDAP_TOKEN=... or give --token-file"),
        (("--host", "::"), "a token must protect it"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    hdap: Hdap, portfolio_bundle: Path, options: tuple[str, ...], match: str
) -> None:
    done = hdap("portfolio", "serve", str(portfolio_bundle), "--port", "0", *options)
    assert done.exit_code == 1
    (told,) = [row for row in done.stderr.splitlines() if row.startswith("error:")]
    assert match in told


def test_a_token_opens_the_door_to_others(
    hdap: Hdap, portfolio_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    elsewhere = ("portfolio", "serve", str(portfolio_bundle), "--host", "192.0.2.1")
    file.write_text("a-token-of-26-characters-x\n")
    told = hdap(*elsewhere, "--token-file", str(file)).stderr
    assert "must be an address of this machine" in told
    monkeypatch.setenv("HDAP_TOKEN", "a-token-of-26-characters-x")
    assert "must be an address of this machine" in hdap(*elsewhere).stderr
    for wrong in ("short", "with spaces in it, many of them", "ä" * 20):
        monkeypatch.setenv("HDAP_TOKEN", wrong)
        told = hdap(*elsewhere).stderr
        assert "16 plain characters or more" in told
        assert wrong not in told


def test_ctrl_c_does_not_wait_for_half_a_request(portfolio_bundle: Path) -> None:
    server = Server(portfolio_bundle, "-q")
    port = int(server.address.rpartition(":")[2])
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3072\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(20)]
    for number, client in enumerate(clients):
        client.sendall(head[: 30 + number] if number % 2 else head + bytes(number))
    time.sleep(0.3)
    began = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    assert time.monotonic() - began < 5  # 1.3 s where the machine is free
    server.process.communicate()
    server._reader.join(30)
    assert server.told == []
    for client in clients:
        client.close()


@pytest.mark.parametrize("name", ["portfolio.json", "v2.onnx"])
def test_a_damaged_bundle_is_one_line(hdap: Hdap, portfolio_bundle: Path, name: str) -> None:
    path = portfolio_bundle / name
    path.write_bytes(path.read_bytes()[:-3])
    done = hdap("portfolio", "serve", str(portfolio_bundle), "--port", "0")
    assert done.exit_code == 1
    assert name in done.stderr
    assert "Traceback" not in done.output


def test_without_the_extra_it_says_what_to_install(
    hdap: Hdap, portfolio_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdap.fleet_data.extras.find_spec", lambda name: None)
    done = hdap("portfolio", "serve", str(portfolio_bundle))
    assert done.exit_code == 1
    assert "pip install 'hdap[serve]'" in done.stderr
