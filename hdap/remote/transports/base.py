"""The contract of a way to a device."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from hdap.fleet_data.errors import HdapError
from hdap.remote.hosts import Host


class LostConnectionError(Exception):
    """There is no connection now; there may be one later. Its text says why, in a few words."""


class RefusedError(HdapError):
    """A device that will refuse as long as nobody changes something."""


@dataclass(frozen=True)
class Ran:
    """How a command ended on a device."""

    status: int
    output: bytes
    errors: bytes

    @property
    def told(self) -> str:
        """The last line that it said, errors first."""
        lines = (self.errors or self.output).decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"it ended with status {self.status}"


class Transport(ABC):
    """One connection to one device.

    All of it raises `LostConnectionError` where the connection is lost or does not answer; the
    connection is of no use then. Commands are text for the device's POSIX shell, paths are taken
    from where its sessions start; where bundles go by default is `FOLDER`.
    """

    FOLDER = "hdap-bundles"

    @classmethod
    @abstractmethod
    async def connect(cls, host: Host) -> "Transport":
        """A connection. Raises `RefusedError` where trying again will not help."""

    @abstractmethod
    async def run(self, command: str) -> Ran:
        """Run a command to its end."""

    @abstractmethod
    async def put(self, file: Path, target: str) -> None:
        """Copy a file to the device; whoever looks there sees all of it or none."""

    @abstractmethod
    async def get(self, source: str) -> bytes:
        """What a file on the device holds."""

    @abstractmethod
    async def close(self) -> None:
        """Give the connection up; raises nothing."""
