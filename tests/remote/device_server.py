"""A device on loopback: a real OpenSSH server where there is one, else asyncssh's own."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import asyncssh

from hdap.remote.hosts import Host

_UNTIL_UP = 20.0


class DeviceServer(ABC):
    """Keys and a port of its own; `stop` cuts every connection, processes of the device stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.home = folder / "bundles"
        for name in ("host", "client"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            (folder / name).chmod(0o600)
            key.write_public_key(folder / f"{name}.pub")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        public = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {public}")

    @property
    def host(self) -> Host:
        """How it is reached."""
        return Host(
            host="127.0.0.1",
            port=self.port,
            user=pwd.getpwuid(os.getuid()).pw_name,
            key=str(self.folder / "client"),
            known_hosts=str(self.folder / "known"),
            folder=str(self.home),
        )

    @abstractmethod
    def start(self) -> None:
        """Listen, on the same port each time."""

    @abstractmethod
    def stop(self) -> None:
        """Cut all connections and listen no more."""


class OpenSsh(DeviceServer):
    """The machine's sshd, as the user that runs the tests."""

    PROGRAM = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")

    @classmethod
    def usable(cls) -> bool:
        """Root's sshd wants a user of its own, which its package makes."""
        if cls.PROGRAM is None:
            return False
        return bool(os.getuid()) or any(user.pw_name == "sshd" for user in pwd.getpwall())

    def start(self) -> None:
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder / 'host'}\n"
            f"AuthorizedKeysFile {self.folder / 'client.pub'}\nStrictModes no\nUsePAM no\n"
            "PidFile none\nPasswordAuthentication no\n"
        )
        assert self.PROGRAM is not None
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.PROGRAM, "-D", "-e", "-f", str(config)], stderr=log, stdin=subprocess.DEVNULL
            )
        until = time.monotonic() + _UNTIL_UP
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert time.monotonic() < until, (self.folder / "sshd.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        for child in _children(self._process.pid):  # a process a connection
            os.kill(child, signal.SIGKILL)
        self._process.kill()
        self._process.wait()


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


class OwnSsh(DeviceServer):
    """asyncssh's server, whose commands run in a shell of this machine."""

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncssh.SSHServerConnection] = set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._acceptor = self._do(self._listen())

    def stop(self) -> None:
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, work: object) -> asyncssh.SSHAcceptor:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_UNTIL_UP)  # type: ignore[arg-type]

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_host_keys=[str(self.folder / "host")],
            authorized_client_keys=str(self.folder / "client.pub"),
            process_factory=self._run,
            encoding=None,
            reuse_address=True,
        )

    async def _cut(self) -> None:
        self._acceptor.close()
        for connection in list(self._open):
            connection.abort()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        connection = process.get_extra_info("connection")
        self._open.add(connection)
        given = await process.stdin.read()
        pipe = asyncio.subprocess.PIPE
        shell = await asyncio.create_subprocess_shell(
            process.command or "true", stdin=pipe, stdout=pipe, stderr=pipe
        )
        output, errors = await shell.communicate(given)
        process.stdout.write(output)
        process.stderr.write(errors)
        process.exit(shell.returncode or 0)


def device_server(folder: Path) -> DeviceServer:
    """The most real one that runs here."""
    return OpenSsh(folder) if OpenSsh.usable() else OwnSsh(folder)
