"""One device measures a bundle: out, started, watched until it ends, and its rows back.

The device measures by itself: a connection that is lost, or this program's end, does not stop it.
After a reboot it is started again, and `measure.pyz` goes on where its rows end.
"""

import asyncio
import json
import shlex
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hdap.device.measure.results_file import results_name, safe_name
from hdap.fleet_data.atomic_files import sha256_of
from hdap.remote import attendant
from hdap.remote.hosts import Host
from hdap.remote.standing import Stage, Standing, Tell
from hdap.remote.transports.base import LostConnectionError, Ran, RefusedError, Transport
from hdap.remote.transports.registry import TRANSPORTS

_MOST_STARTS = 3
"""Starts in a row that bring no row: then the device cannot measure this bundle."""

_PROBLEM, _WRONG_OPTIONS = 1, 2
"""Exit statuses of measure.pyz after which a start is over, beside 0: some or all networks could
not be measured, wrong options. Others are signals, such as those of a reboot."""


@lru_cache(maxsize=4096)
def _known_hash(file: Path, changed_ns: int) -> str:
    """Computed once for all devices and connections, as long as the file is not written anew."""
    return sha256_of(file)


@dataclass(frozen=True)
class Patience:
    """Seconds: between two looks at a device, before the next try to connect, and after which a
    device that does not answer is given up."""

    look: float = 5.0
    retry: float = 5.0
    silent: float = 1800.0


@dataclass(frozen=True)
class Errand:
    """What one device is to do: `files` of the bundle go out, `expected` rows will come; those of
    `kind` sustained say how slow it gets."""

    device: str
    host: Host
    bundle: str
    files: Sequence[Path]
    options: Sequence[str]
    expected: int
    kind: str = "measured"

    @property
    def csv(self) -> str:
        """The file of rows, as measure.pyz would call it."""
        return results_name(self.device, self.kind)

    @property
    def folder(self) -> str:
        """Where it is done, below the folder for bundles: one machine may play several devices."""
        return f"{self.bundle}-{safe_name(self.device)}"


@dataclass
class RemoteMeasurement:
    """Runs one errand; `tell` hears of every step."""

    errand: Errand
    patience: Patience
    tell: Tell
    _heard: float = field(default_factory=time.monotonic)
    _answered: bool = False
    _rows: int = 0
    _starts: int = 0
    _rows_at_start: int = -1

    async def run(self) -> Standing:
        """The end of it: done, failed or silent; raises nothing but what ends this program."""
        while True:
            self._say("lost" if self._answered else "connecting")
            try:
                async with self._connected() as at:
                    return await self._through(at)
            except RefusedError as refused:
                return self._say("failed", str(refused))
            except LostConnectionError as lost:
                if time.monotonic() - self._heard > self.patience.silent:
                    return self._say("silent", str(lost))
                self._say("lost" if self._answered else "connecting", str(lost))
            await asyncio.sleep(self.patience.retry)

    async def _through(self, at: Transport) -> Standing:
        await self._copy(at)
        while True:
            seen = await self._look(at)
            self._rows = int(seen["rows"])
            if seen["running"]:
                self._say("measuring", seen["said"])
                await asyncio.sleep(self.patience.look)
                continue
            ended = seen["end"] if self._starts else None  # an earlier end is not of this errand
            if ended == 0:
                return await self._fetch(at, "done")
            if ended in (_PROBLEM, _WRONG_OPTIONS) or not self._may_start():
                return await self._fetch(at, "failed", seen["said"] or "measure.pyz says nothing")
            await self._attend(at, "start", *self.errand.options, "--out", self.errand.csv)

    def _may_start(self) -> bool:
        """Whether another start is worth it; counts it."""
        if self._rows > self._rows_at_start:
            self._starts = 0
        self._rows_at_start = self._rows
        self._starts += 1
        return self._starts <= _MOST_STARTS

    async def _copy(self, at: Transport) -> None:
        folder = self._folder(at)
        made = await self._run(at, f"mkdir -p {shlex.quote(folder)}")
        if made.status:
            raise RefusedError(f"it cannot make the folder {folder}: {made.told}")
        await self._put(at, Path(attendant.__file__))
        if (await self._look(at))["running"]:
            return  # it measures: hashes would take its time
        there = await self._attend(at, "files")
        left = [
            file
            for file in self.errand.files
            if there.get(file.name)
            != await asyncio.to_thread(_known_hash, file, file.stat().st_mtime_ns)
        ]
        for number, file in enumerate(left):
            self._say("copying", f"file {number + 1} of {len(left)}")
            await self._put(at, file)

    async def _fetch(self, at: Transport, stage: Stage, note: str = "") -> Standing:
        """The end of it, with whatever was measured."""
        content = b""
        if self._rows:
            content = await at.get(f"{self._folder(at)}/{self.errand.csv}")
        return self._say(stage, note, content)

    async def _look(self, at: Transport) -> dict[str, Any]:
        return await self._attend(at, "look", self.errand.csv)

    async def _attend(self, at: Transport, *words: str) -> dict[str, Any]:
        """What the attendant answers."""
        python = shlex.quote(self.errand.host.python)
        folder = shlex.quote(self._folder(at))
        ran = await self._run(at, f"cd {folder} && {python} attendant.py {shlex.join(words)}")
        try:
            found: dict[str, Any] = json.loads(ran.output)
        except ValueError:
            raise RefusedError(
                f"`python` must be a Python 3.9 or later on the device, but "
                f"{self.errand.host.python} says: {ran.told}"
            ) from None
        return found

    async def _run(self, at: Transport, command: str) -> Ran:
        ran = await at.run(command)
        self._hear()
        return ran

    async def _put(self, at: Transport, file: Path) -> None:
        await at.put(file, f"{self._folder(at)}/{file.name}")
        self._hear()

    def _hear(self) -> None:
        self._heard, self._answered = time.monotonic(), True

    def _folder(self, at: Transport) -> str:
        return f"{self.errand.host.folder or at.FOLDER}/{self.errand.folder}"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Transport]:
        at = await TRANSPORTS[self.errand.host.kind].connect(self.errand.host)
        try:
            yield at
        finally:
            await at.close()

    def _say(self, stage: Stage, note: str = "", content: bytes = b"") -> Standing:
        errand = self.errand
        standing = Standing(errand.device, stage, self._rows, errand.expected, note, content)
        self.tell(standing)
        return standing
