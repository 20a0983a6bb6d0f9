"""SSH, by asyncssh: no more than a shell and `cat` is needed on the device."""

import asyncio
import shlex
from pathlib import Path
from typing import Any

import asyncssh

from hdap.remote.hosts import Host
from hdap.remote.transports.base import LostConnectionError, Ran, RefusedError, Transport

_CONNECT = 20.0
"""Seconds to connect in."""
_SILENT = 30.0
"""Seconds without an answer after which a connection is lost: asked three times in them."""

_HOPELESS = (
    asyncssh.PermissionDenied,
    asyncssh.HostKeyNotVerifiable,
    asyncssh.KeyImportError,
    asyncssh.KeyEncryptionError,
    asyncssh.ProtocolNotSupported,
)


class SshTransport(Transport):
    """An SSH connection; the host's key must be known, as for the `ssh` command."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, host: Host) -> Transport:
        given: dict[str, Any] = {
            "username": host.user or None,
            "client_keys": [str(Path(host.key).expanduser())] if host.key else None,
            "known_hosts": str(Path(host.known_hosts).expanduser()) if host.known_hosts else None,
        }
        settings = {name: value for name, value in given.items() if value is not None}
        try:
            return cls(
                await asyncssh.connect(
                    host.host,
                    host.port,
                    connect_timeout=_CONNECT,
                    login_timeout=_CONNECT,
                    keepalive_interval=_SILENT / 3,
                    **settings,
                )
            )
        except _HOPELESS as error:
            raise RefusedError(f"{_words(error)} ({_remedy(error)})") from error
        except FileNotFoundError as error:
            raise RefusedError(f"there is no file {error.filename}") from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise LostConnectionError(_words(error)) from error

    async def run(self, command: str) -> Ran:
        return await self._run(command)

    async def put(self, file: Path, target: str) -> None:
        part, whole = shlex.quote(f"{target}.part"), shlex.quote(target)
        ran = await self._run(f"cat > {part} && mv -f {part} {whole}", stdin=file)
        if ran.status:
            raise RefusedError(f"it cannot write {target}: {ran.told}")

    async def get(self, source: str) -> bytes:
        ran = await self._run(f"cat {shlex.quote(source)}")
        if ran.status:
            raise RefusedError(f"it cannot read {source}: {ran.told}")
        return ran.output

    async def close(self) -> None:
        self._connection.close()

    async def _run(self, command: str, stdin: Path | None = None) -> Ran:
        source: Any = asyncssh.DEVNULL if stdin is None else str(stdin)
        try:
            ended = await self._connection.run(command, stdin=source, encoding=None)
        except (asyncssh.Error, OSError) as error:
            raise LostConnectionError(_words(error)) from error
        if ended.exit_status is None:
            raise LostConnectionError("the connection was lost")
        output, errors = ended.stdout or b"", ended.stderr or b""
        assert isinstance(output, bytes)
        assert isinstance(errors, bytes)
        return Ran(ended.exit_status, output, errors)


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "it does not answer"
    strerror = getattr(error, "strerror", None)
    first = str(strerror or error).strip().partition("\n")[0]
    return first or type(error).__name__


def _remedy(error: BaseException) -> str:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "connect once by `ssh`, and agree to its key"
    return "check `user` and `key`"
