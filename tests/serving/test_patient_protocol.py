"""Clients that ask slowly, never finish or ask for more than there is; those without a token."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hdap.device.switcher import Switcher
from hdap.fleet_data.errors import InputError
from hdap.serving import http_server
from hdap.serving.access_token import is_loopback
from hdap.serving.http_server import Doors, doors_of, server_of
from hdap.serving.listening import listen

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3072\r\n\r\n"
IMAGE = bytes(3072)
Serve = Callable[[Doors], AbstractContextManager[int]]


@pytest.fixture
def switcher(portfolio_bundle: Path) -> Iterator[Switcher]:
    with Switcher(str(portfolio_bundle), workers=1) as opened:
        yield opened


@pytest.fixture
def serve(switcher: Switcher) -> Serve:
    @contextmanager
    def run(doors: Doors) -> Iterator[int]:
        at = listen("127.0.0.1", 0)
        server = server_of(switcher, doors)
        thread = threading.Thread(target=lambda: server.run(sockets=[at]))
        thread.start()
        try:
            yield at.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
            at.close()

    return run


def ask(port: int, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(sent)
    return client


def answer(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    with client:
        return b"".join(iter(lambda: client.recv(4096), b""))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", b""),
        (HEAD[:20], b"HTTP/1.1 408"),
        (HEAD, b"HTTP/1.1 408"),
        (HEAD + IMAGE[:-1], b"HTTP/1.1 408"),
        (HEAD.replace(b"3072", b"1000000000"), b"HTTP/1.1 413"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 200"),
    ],
)
def test_a_request_that_does_not_come_in_whole_is_closed(
    serve: Serve, sent: bytes, expected: bytes
) -> None:
    with serve(Doors(patience_s=0.3)) as port:
        assert answer(ask(port, sent))[:12] == expected
        assert b"200 OK" in answer(ask(port, HEAD[:-2] + b"Connection: close\r\n\r\n" + IMAGE))


def test_trickling_does_not_gain_time(serve: Serve) -> None:
    with serve(Doors(patience_s=0.5)) as port, ask(port, b"") as client:
        client.settimeout(0.05)
        began = time.monotonic()
        for byte in HEAD + IMAGE:
            client.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                assert client.recv(4096).startswith(b"HTTP/1.1 408")
                break
        assert time.monotonic() - began < 10  # whole it would be in 150 s


def test_the_second_request_of_a_connection_is_watched_too(serve: Serve) -> None:
    with serve(Doors(patience_s=0.4)) as port:
        told = answer(ask(port, HEAD + IMAGE + HEAD + IMAGE + HEAD[:30]))
    assert told.count(b"HTTP/1.1 200") == 2
    assert told.count(b"HTTP/1.1 408") == 1


def test_a_new_connection_takes_the_place_of_the_oldest_half_request(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS", 4)
    with serve(Doors(patience_s=60)) as port:
        half = [ask(port, HEAD) for _ in range(4)]
        time.sleep(0.2)
        whole = HEAD[:-2] + b"Connection: close\r\n\r\n" + IMAGE
        assert b"200 OK" in answer(ask(port, whole))
        assert answer(half[0]).startswith(b"HTTP/1.1 408")
        half[3].sendall(IMAGE)
        assert half[3].recv(4096).startswith(b"HTTP/1.1 200")
        for client in half[1:]:
            client.close()


def test_a_body_that_is_alone_may_be_of_any_size_of_an_image(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "BODIES", 1024)
    with serve(Doors()) as port, ask(port, HEAD + IMAGE) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_who_takes_no_answers_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS", 2)
    with serve(Doors(patience_s=1)) as port:
        deaf = []
        for _ in range(2):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.settimeout(1.0)
            with contextlib.suppress(TimeoutError, OSError):
                client.sendall(b"GET /variants HTTP/1.1\r\nHost: localhost\r\n\r\n" * 40_000)
            deaf.append(client)
        whole, told, deadline = HEAD[:-2] + b"Connection: close\r\n\r\n" + IMAGE, b"", 30.0
        began = time.monotonic()
        while b"200 OK" not in told and time.monotonic() - began < deadline:
            time.sleep(0.2)
            with contextlib.suppress(OSError):  # as long as there are answers to be taken
                told = answer(ask(port, whole))
        assert b"200 OK" in told
        for client in deaf:
            client.close()


def test_too_many_who_wait_are_asked_to_come_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "BODIES", 2 * 3072)
    with serve(Doors(patience_s=60)) as port:
        begun = [ask(port, HEAD) for _ in range(9)]  # what has not come in takes no room
        half = [ask(port, HEAD + IMAGE[:-1]) for _ in range(2)]
        time.sleep(0.2)
        told = answer(ask(port, HEAD + IMAGE[:-1]))
        assert told.startswith(b"HTTP/1.1 503")
        for client in begun:
            client.close()
        assert b"retry-after: 1" in told.lower()
        for client in half:
            client.close()
        time.sleep(0.2)
        with ask(port, HEAD + IMAGE) as client:
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_clients_that_go_away_leave_no_word_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(Doors()) as port:
        for sent in (b"", HEAD, HEAD + IMAGE, b"\0\xff\r\n\r\n", HEAD + IMAGE[:9]):
            ask(port, sent).close()
        time.sleep(0.3)
    assert [r.getMessage() for r in caplog.records if "socket.send" not in r.getMessage()] == []
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_that_is_accepted_as_the_server_ends_does_not_hold_it(
    switcher: Switcher,
) -> None:
    async def seconds_to_end() -> float:
        serving = asyncio.create_task(server.serve(sockets=[at]))
        while not server.started:
            await asyncio.sleep(0.01)
        with ask(at.getsockname()[1], HEAD):
            began, server.should_exit = time.monotonic(), True
            time.sleep(0.3)  # so the loop's next turn both accepts and ends
            await serving
            return time.monotonic() - began

    at, server = listen("127.0.0.1", 0), server_of(switcher, Doors(patience_s=8))
    # a thread of its own: another test's browser may keep a loop in this one
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(seconds_to_end())).result() < 4


def test_only_the_token_opens_the_door(serve: Serve) -> None:
    token = "a-token-of-26-characters-x"
    with serve(Doors(token=token)) as port:
        for given, expected in (
            (None, 401),
            (f"Bearer {token}", 200),
            (f"Bearer {token}x", 401),
            (f"Basic {token}", 401),
            ("Bearer \u00e9", 401),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/status", headers={"Authorization": given} if given else {})
            found = connection.getresponse()
            assert found.status == expected
            assert expected == 200 or found.getheader("www-authenticate") == "Bearer"
            connection.close()


def test_addresses_of_this_machine_alone_need_no_token() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert is_loopback(host)
        assert host in (doors_of(host, None, 1.0).hosts or ())
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""):
        assert not is_loopback(host)
        with pytest.raises(InputError, match="a token must protect it"):
            doors_of(host, None, 1.0)
    assert doors_of("0.0.0.0", "t" * 16, 1.0).hosts is None
