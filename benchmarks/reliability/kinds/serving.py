"""Clients of `hdap portfolio serve` that ask slowly, ask for too much, or just a lot."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Tally, run_hdap
from hdap.fleet_data.documents import document_digest
from hdap.networks.onnx_files import to_onnx

SHAPE = (3, 32, 32)
IMAGE = np.zeros(SHAPE, dtype=np.float32).tobytes()
HEAD = (
    f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(IMAGE)}\r\n\r\n"
).encode()
FLOOD = 900
PATIENCE_S = 10.0
CLIENTS, EACH = 32, 50
TOKEN = "a token that nobody guesses".replace(" ", "-")


def half_sent(folder: Path, cases: int) -> Outcome:
    """900 requests that are never finished, half of them without a whole header; then Ctrl-C."""
    tally = Tally()
    with _server(folder) as server:
        calm = asyncio.run(_load(server.port))
        tally.figures.append(f"nothing else: {calm}")
        flood = asyncio.run(_flood(server.port))
        tally.figures.append(
            f"{FLOOD} half-sent: {flood.answers}; {flood.held} held after {PATIENCE_S:.0f} s and 2"
        )
        tally.tried += FLOOD
        if flood.held:
            tally.wrong.append(f"{flood.held} half-sent requests are still held")
        tally.add([f"lost: {x}" for x in (*calm.lost, *flood.answers.lost)][:5])
        took, status = asyncio.run(_ended_amid_a_flood(server))
        tally.figures.append(f"Ctrl-C amid {FLOOD} half-sent: {took:.2f} s")
        tally.add("" if took < 2 and status == 0 else f"Ctrl-C: {took:.1f} s, status {status}")
    tally.add(
        [f"log: {line}" for line in server.told if "Traceback" in line or "Error" in line][:3]
    )
    return tally.outcome()


def trickled(folder: Path, cases: int) -> Outcome:
    """A byte every half second, a body longer than said, one without an end, one that is huge."""
    tally = Tally()
    with _server(folder, "--patience", "3") as server:
        told = asyncio.run(_answers(server.port))
        for name, (expected, found) in told.items():
            tally.add("" if found == expected else f"{name}: {found!r}, right is {expected!r}")
    return tally.outcome()


def strangers(folder: Path, cases: int) -> Outcome:
    """Beyond this machine a token is needed; without it nothing is answered."""
    tally = Tally()
    bundle = str(_bundle(folder))
    for host in ("0.0.0.0", "::"):
        done = run_hdap("portfolio", "serve", bundle, "--port", "0", "--host", host, cwd=folder)
        tally.add(done.badly(code=1, says="a token must protect it"))
    with _server(folder, "--host", "0.0.0.0", env={"HDAP_TOKEN": TOKEN}) as server:
        for name, (expected, found) in asyncio.run(_with_tokens(server.port)).items():
            tally.add("" if found == expected else f"{name}: {found!r}, right is {expected!r}")
    return tally.outcome()


class _Answers:
    """What requests took, in ms, and those that had no answer of status 200."""

    def __init__(self, ms: list[float], seconds: float, lost: list[str]) -> None:
        self.ms, self.seconds, self.lost = sorted(ms), seconds, lost

    def __str__(self) -> str:
        at = [self.ms[min(len(self.ms) - 1, int(q * len(self.ms)))] for q in (0.5, 0.99)]
        return (
            f"{len(self.ms) / self.seconds:,.0f} requests/s, p50 {at[0]:.1f} ms, "
            f"p99 {at[1]:.1f} ms, {len(self.lost)} lost"
        )


class _Flood:
    def __init__(self, answers: _Answers, held: int) -> None:
        self.answers, self.held = answers, held


async def _load(port: int, clients: int = CLIENTS, each: int = EACH) -> _Answers:
    ms: list[float] = []
    lost: list[str] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(each):
            began = time.perf_counter()
            writer.write(HEAD + IMAGE)
            status = await _status(reader)
            ms.append(1e3 * (time.perf_counter() - began))
            if status != 200:
                lost.append(str(status))
                break
        writer.close()

    began = time.perf_counter()
    found = await asyncio.gather(*(client() for _ in range(clients)), return_exceptions=True)
    lost += [repr(x) for x in found if x is not None]
    return _Answers(ms, time.perf_counter() - began, lost)


async def _flood(port: int) -> _Flood:
    """Ask beside so many half-sent requests; how many of those are held once their time is over."""
    writers = await _half_sent(port)
    answers = await _load(port)
    await asyncio.sleep(max(0.0, PATIENCE_S + 2 - answers.seconds))
    held = 0
    for reader, writer in writers:
        try:
            await asyncio.wait_for(reader.read(), 0.05)
        except TimeoutError:
            held += 1
        except OSError:
            pass  # it was reset
        writer.close()
    return _Flood(answers, held)


async def _half_sent(port: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    found = []
    for number in range(FLOOD):
        pair = await asyncio.open_connection("127.0.0.1", port)
        pair[1].write(HEAD[:40] if number % 2 else HEAD + IMAGE[:100])
        found.append(pair)
    return found


async def _ended_amid_a_flood(server: "_Server") -> tuple[float, int]:
    pairs = await _half_sent(server.port)
    began = time.perf_counter()
    server.process.send_signal(signal.SIGINT)
    status = await asyncio.to_thread(server.process.wait, 60)
    took = time.perf_counter() - began
    for _, writer in pairs:
        writer.close()
    return took, status


async def _answers(port: int) -> dict[str, tuple[object, object]]:
    """Expected and found of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began, ended = time.perf_counter(), asyncio.create_task(reader.read())
    for byte in HEAD:
        if ended.done():
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(0.25)
    trickle = time.perf_counter() - began
    writer.close()
    await asyncio.gather(ended, return_exceptions=True)
    huge = HEAD.replace(str(len(IMAGE)).encode(), b"1000000000")
    chunked = HEAD.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = (b"4000\r\n" + bytes(0x4000) + b"\r\n") * 8
    return {
        "a byte at a time is closed in 3-5 s": (True, 2 < trickle < 6),
        "nothing at all is closed": (b"", await _all(port, b"", 6)),
        "half a head": (408, _code(await _all(port, HEAD[:30], 6))),
        "half a body": (408, _code(await _all(port, HEAD + b"1", 6))),
        "a gigabyte": (413, _code(await _all(port, huge, 6))),
        "no end": (413, _code(await _all(port, chunked + chunks, 6))),
        "no HTTP": (400, _code(await _all(port, b"\x00\xff\r\n\r\n", 6))),
        # what comes behind the answer may wipe it out
        "a head of a megabyte": (
            True,
            _code(await _all(port, HEAD[:-2] + b"a" * 2**20, 6)) in (400, b""),
        ),
    }


async def _with_tokens(port: int) -> dict[str, tuple[object, object]]:
    found: dict[str, tuple[object, object]] = {}
    for name, header, expected in (
        ("none", b"", 401),
        ("wrong", b"Authorization: Bearer wrong\r\n", 401),
        ("almost", f"Authorization: Bearer {TOKEN}x\r\n".encode(), 401),
        ("another scheme", f"Authorization: Basic {TOKEN}\r\n".encode(), 401),
        ("right", f"Authorization: Bearer {TOKEN}\r\n".encode(), 200),
    ):
        asked = HEAD[:-2] + header + b"Connection: close\r\n\r\n" + IMAGE
        found[name] = (expected, _code(await _all(port, asked, 6)))
    return found


async def _all(port: int, sent: bytes, seconds: float) -> bytes:
    """All that comes back before the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), seconds)
    except TimeoutError:
        return b"it is still open"
    except OSError:
        return b""
    finally:
        writer.close()


def _code(answer: bytes) -> int | bytes:
    words = answer.split(maxsplit=2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else answer


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of an answer that is read to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length"))
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split(maxsplit=2)[1])


class _Server:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process, self.told = process, list[str]()
        words = (word for row in process.stdout for word in row.split())
        self.port = int(next(w for w in words if w.startswith("http")).rpartition(":")[2])
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self.told.extend(self.process.stderr)


@contextmanager
def _server(folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[_Server]:
    command = (sys.executable, "-m", "hdap", "portfolio", "serve", str(_bundle(folder)))
    process = subprocess.Popen(
        [*command, "--port", "0", *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield _Server(process)
    finally:
        process.kill()
        process.wait()


def _bundle(folder: Path) -> Path:
    """A bundle of one small network."""
    bundle = folder / "bundle"
    if bundle.exists():
        return bundle
    bundle.mkdir()
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )
    content = to_onnx(network, SHAPE).SerializeToString()
    (bundle / "v0.onnx").write_bytes(content)
    file = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    variant = {
        **{"name": "v0", "files": {"v0.onnx": file}, "parameters": 1, "bytes": len(content)},
        **{"flops": 1, "kept_importance": 1.0, "accuracy": None, "measured_here_ms": None},
        **{"latency_ms": {}, "provenance": {"from": "flops"}},
    }
    document = {
        **{"format": 1, "kind": "hdap portfolio", "portfolio": 1, "model": "small"},
        **{"architecture": "a1", "simulated": False, "classes": 10, "variants": [variant]},
        "input": {"name": "input", "shape": list(SHAPE)},
    }
    sealed = document | {"digest": document_digest(document)}
    (bundle / "portfolio.json").write_text(json.dumps(sealed))
    return bundle


ATTACKS = (
    Attack("requests that are never finished", half_sent),
    Attack("requests that trickle or are too long", trickled),
    Attack("requests of strangers", strangers),
)
