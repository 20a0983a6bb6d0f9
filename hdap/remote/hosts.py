"""`hosts.toml`: where each device is reached, and what runs Python there.

[north-gate]                    # the device's name in the fleet
host = "10.0.0.5"
user = "pi"
key = "~/.ssh/fleet"

[phone-7]
adb = "R58M30ABCDE"             # its serial number, as `adb devices` lists it
python = "/data/local/tmp/python/bin/python3"
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from hdap.fleet_data.documents import read_toml
from hdap.fleet_data.errors import InputError

_WHAT = "a table [DEVICE] for each device, with `host` or `adb` in it"
_REMEDY = "see docs/measuring.md for one that is right"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


@dataclass(frozen=True)
class Host:
    """One device: by SSH at `host`, or by adb under its serial number.

    `key` and `known_hosts` are files; without them those of the `ssh` command count, and the agent.
    Bundles lie in `folder` on the device: without one in the home of the user, for adb where its
    shell may write.
    """

    host: str = ""
    user: str = ""
    port: Port = 22
    key: str = ""
    known_hosts: str = ""
    adb: str = ""
    python: str = "python3"
    folder: str = ""

    @property
    def kind(self) -> str:
        """What reaches it: a name in `TRANSPORTS`."""
        return "adb" if self.adb else "ssh"

    def __str__(self) -> str:
        if self.adb:
            return f"adb {self.adb}"
        port = "" if self.port == 22 else f":{self.port}"
        return f"{self.user}{'@' * bool(self.user)}{self.host}{port}"


def read_hosts(path: Path) -> dict[str, Host]:
    """The devices of a file, by name. Raises `InputError`, in one line, for what is none."""
    hosts = read_toml(path, dict[str, Host], _WHAT, _REMEDY)
    for device, host in hosts.items():
        if bool(host.host) == bool(host.adb):
            given = "both" if host.host else "neither"
            raise InputError(
                f"[{device}] of {path} must have `host` (SSH) or `adb` (a serial number), but has "
                f"{given}; {_REMEDY}"
            )
    if not hosts:
        raise InputError(f"{path} must be {_WHAT}, but has none; {_REMEDY}")
    return hosts
