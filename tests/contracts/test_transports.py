"""Every way to a device: commands, files whole or not at all, and what is lost is told as lost."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncssh")

from hdap.remote.hosts import Host
from hdap.remote.transports.base import LostConnectionError, RefusedError, Transport
from hdap.remote.transports.registry import TRANSPORTS
from tests.remote.conftest import phone, server  # noqa: F401  # fixtures
from tests.remote.device_server import DeviceServer

Use = Callable[[Transport], Awaitable[None]]


@pytest.fixture(params=list(TRANSPORTS))
def host(request: pytest.FixtureRequest) -> Host:
    if request.param == "ssh":
        made: DeviceServer = request.getfixturevalue("server")
        made.home.mkdir()
        return made.host
    found: Host = request.getfixturevalue({"adb": "phone"}[request.param])
    return found


def _with(host: Host, use: Use) -> None:
    async def go() -> None:
        at = await TRANSPORTS[host.kind].connect(host)
        try:
            await use(at)
        finally:
            await at.close()

    asyncio.run(go())


def test_commands_run_and_end_as_they_do(host: Host) -> None:
    async def use(at: Transport) -> None:
        ran = await at.run("printf 'a\\0b'; echo why >&2; exit 3")
        assert (ran.status, ran.output, ran.told) == (3, b"a\0b", "why")
        assert (await at.run("cat")).output == b""  # nobody types

    _with(host, use)


def test_files_go_and_come_byte_by_byte(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "some file"
    file.write_bytes(bytes(range(256)) * 4096)

    async def use(at: Transport) -> None:
        target = f"{host.folder}/it's"
        await at.put(file, target)
        assert await at.get(target) == file.read_bytes()
        assert (await at.run(f"ls {host.folder}")).output.split() == [b"it's"]

    _with(host, use)


def test_what_cannot_be_written_or_read_is_refused(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")

    async def use(at: Transport) -> None:
        with pytest.raises(RefusedError, match="cannot write"):
            await at.put(file, f"{host.folder}/none/x")
        with pytest.raises(RefusedError, match="cannot read"):
            await at.get(f"{host.folder}/none")

    _with(host, use)


def test_a_lost_connection_is_lost(host: Host, request: pytest.FixtureRequest) -> None:
    async def use(at: Transport) -> None:
        assert (await at.run("true")).status == 0
        if host.kind == "ssh":
            await asyncio.to_thread(request.getfixturevalue("server").stop)
        else:
            (Path(host.folder) / "offline").touch()
        for _ in range(2):
            with pytest.raises(LostConnectionError):
                await at.run("true")
        with pytest.raises(LostConnectionError):
            await TRANSPORTS[host.kind].connect(host)
        if host.kind == "ssh":
            await asyncio.to_thread(request.getfixturevalue("server").start)

    _with(host, use)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"known_hosts": "/dev/null"}, "connect once by `ssh`"),
        ({"key": "/none/key"}, "no file /none/key"),
        ({"key": "{}/host"}, "check `user` and `key`"),  # a key, but not the one
    ],
)
def test_who_is_not_let_in_is_told_what_to_do(
    change: dict[str, Any],
    said: str,
    server: DeviceServer,  # noqa: F811
) -> None:
    wrong = {name: value.format(server.folder) for name, value in change.items()}

    async def go() -> None:
        with pytest.raises(RefusedError, match=said):
            await TRANSPORTS["ssh"].connect(replace(server.host, **wrong))

    asyncio.run(go())
