"""adb, for phones: the program `adb` on this machine, which reaches them over USB or Wi-Fi."""

import asyncio
import shlex
from pathlib import Path

from hdap.remote.hosts import Host
from hdap.remote.transports.base import LostConnectionError, Ran, RefusedError, Transport

_SECONDS = 120.0
"""Until a command of adb that says nothing counts as lost; copying takes its own time."""

_GONE = ("device offline", "no devices", "not found", "device still", "closed", "unauthorized")


class AdbTransport(Transport):
    """A device under its serial number. adb keeps the connection; each command is a process."""

    FOLDER = "/data/local/tmp/hdap-bundles"  # where adb's shell may write and run

    def __init__(self, serial: str) -> None:
        self._serial = serial

    @classmethod
    async def connect(cls, host: Host) -> Transport:
        made = cls(host.adb)
        state = await made._adb("get-state")
        if state.status or state.output.strip() != b"device":
            raise LostConnectionError(state.told)
        return made

    async def run(self, command: str) -> Ran:
        ran = await self._adb("shell", "-T", "-n", command)
        said = ran.errors.decode(errors="replace").strip()
        if ran.status and said.startswith(("error:", "adb:")) and any(x in said for x in _GONE):
            raise LostConnectionError(ran.told)
        return ran

    async def put(self, file: Path, target: str) -> None:
        ran = await self._adb("push", str(file), f"{target}.part", seconds=None)
        if ran.status:
            await self._require_there()
            raise RefusedError(f"it cannot write {target}: {ran.told}")
        part, whole = shlex.quote(f"{target}.part"), shlex.quote(target)
        moved = await self.run(f"mv -f {part} {whole}")
        if moved.status:
            raise RefusedError(f"it cannot write {target}: {moved.told}")

    async def get(self, source: str) -> bytes:
        ran = await self._adb("exec-out", f"cat {shlex.quote(source)}")
        if ran.status:
            await self._require_there()
            raise RefusedError(f"it cannot read {source}: {ran.told}")
        return ran.output

    async def close(self) -> None:
        """Nothing is held."""

    async def _require_there(self) -> None:
        state = await self._adb("get-state")
        if state.status:
            raise LostConnectionError(state.told)

    async def _adb(self, *words: str, seconds: float | None = _SECONDS) -> Ran:
        try:
            process = await asyncio.create_subprocess_exec(
                "adb",
                "-s",
                self._serial,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise RefusedError(
                "adb is not installed here (it comes with Android's platform tools)"
            ) from error
        try:
            output, errors = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError as error:
            raise LostConnectionError("it does not answer") from error
        finally:
            if process.returncode is None:
                process.kill()
        return Ran(process.returncode or 0, output, errors)
