"""The HTTP front on a real uvicorn server and a real switcher."""

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hdap.device.switcher import Switcher
from hdap.fleet_data.errors import InputError
from hdap.serving.http_server import server_of
from hdap.serving.listening import listen


class Client:
    """Requests to one port, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, method: str, path: str, body: bytes = b"", kind: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if kind is not None:
            headers["Content-Type"] = kind
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        told = answer.getheader("content-type", "")
        return answer.status, json.loads(text) if "json" in told else text.decode()


@pytest.fixture
def switcher(portfolio_bundle: Path) -> Iterator[Switcher]:
    with Switcher(str(portfolio_bundle), workers=2) as opened:
        yield opened


@pytest.fixture
def client(switcher: Switcher) -> Iterator[Client]:
    at = listen("127.0.0.1", 0)
    server = server_of(switcher)
    thread = threading.Thread(target=lambda: server.run(sockets=[at]))
    thread.start()
    yield Client(at.getsockname()[1])
    server.should_exit = True
    thread.join(30)
    at.close()


@pytest.fixture
def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((3, 16, 16)).astype(np.float32)


def test_an_image_is_answered_whatever_it_is_written_in(
    client: Client, switcher: Switcher, image: NDArray[np.float32]
) -> None:
    expected = switcher.run(image)[0].tolist()
    file = io.BytesIO()
    np.save(file, image)
    for kind, body in (
        (None, image.tobytes()),
        ("application/octet-stream", image.tobytes()),
        ("application/x-npy", file.getvalue()),
        ("application/json", json.dumps({"input": image.tolist()}).encode()),
    ):
        status, told = client("POST", "/predict", body, kind)
        assert status == 200, told
        assert told["variant"] == "v2"
        assert told["ms"] > 0
        assert told["output"] == pytest.approx(np.array(expected), rel=1e-5)


def test_status_and_variants_tell_what_runs(
    client: Client, image: NDArray[np.float32], switcher: Switcher
) -> None:
    client("POST", "/predict", image.tobytes())
    status, told = client("GET", "/status")
    assert status == 200
    assert (told["current"], told["requests"], told["failures"]) == ("v2", 1, 0)
    status, told = client("GET", "/variants")
    assert (status, told["model"], told["input"]) == (200, "small", [3, 16, 16])
    assert [v["name"] for v in told["variants"] if v["current"]] == ["v2"]
    assert [v["accuracy"] for v in told["variants"]] == [0.9, 0.95, 0.97]


def test_a_switch_is_asked_for_and_happens(client: Client, switcher: Switcher) -> None:
    body = json.dumps({"variant": "v0"}).encode()
    status, told = client("POST", "/switch", body, "application/json")
    assert (status, told["held"]) == (202, True)
    assert switcher.wait(30)
    assert client("GET", "/status")[1]["current"] == "v0"
    status, told = client("POST", "/switch", b'{"variant": null}', "application/json")
    assert (status, told["held"]) == (202, False)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "match"),
    [
        ("/predict", b"123", None, 400, "must be 3072 bytes"),
        ("/predict", b"x", "text/plain", 400, "Content-Type must be"),
        ("/predict", bytes(3073), None, 413, "one image, 3072 bytes at most"),
        ("/predict", b"{", "application/json", 400, "must be JSON"),
        ("/switch", b'{"variant": "v9"}', "application/json", 400, "one of v0, v1, v2"),
        ("/switch", b"[]", "application/json", 400, "must be"),
        ("/switch", b'{"variant": "v0"}', "application/octet-stream", 400, "Content-Type"),
        ("/switch", b" " * 5000, "application/json", 413, "4096 bytes at most"),
    ],
)
def test_wrong_requests_are_one_line(
    client: Client, switcher: Switcher, path: str, body: bytes, kind: str, status: int, match: str
) -> None:
    found, told = client("POST", path, body, kind)
    assert found == status
    assert match in told["error"]
    assert "\n" not in told["error"]
    assert switcher.current == "v2"


def test_a_body_without_an_end_is_read_no_further_than_an_image(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=60) as at:
        at.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"400\r\n" + bytes(0x400) + b"\r\n"
        at.sendall(4 * chunk)
        assert at.recv(4096).startswith(b"HTTP/1.1 413")


def test_another_name_than_this_machines_own_is_not_answered(client: Client) -> None:
    assert client("GET", "/status", Host="example.org")[0] == 400
    assert client("GET", "/status", Host=f"localhost:{client.port}")[0] == 200
    assert client("GET", "/nothing")[0] == 404
    assert client("GET", "/predict")[0] == 405


def test_swaps_under_load_lose_no_request_over_http(
    client: Client, switcher: Switcher, image: NDArray[np.float32]
) -> None:
    stop, lost, asked = threading.Event(), list[object](), list[str]()

    def ask() -> None:
        while not stop.is_set():
            try:
                status, told = client("POST", "/predict", image.tobytes())
                assert status == 200
                asked.append(told["variant"])
            except Exception as error:
                lost.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for swap in range(20):
        switcher.switch(f"v{swap % 3}")
        assert switcher.wait(30)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert lost == []
    assert set(asked) == {"v0", "v1", "v2"}
    assert switcher.stats().failures == 0


def test_a_port_in_use_and_a_host_of_others_are_one_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"{port} on 127.0.0.1 is in use"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="must be an address of this machine"):
        listen("192.0.2.1", 0)
    with pytest.raises(InputError, match="must be an address of this machine"):
        listen("not a host", 0)
