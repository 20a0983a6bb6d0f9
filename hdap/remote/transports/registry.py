"""The ways to devices by name. A new one is a file beside this one and a line in `TRANSPORTS`."""

from hdap.fleet_data.plugins import Registry
from hdap.remote.transports.adb import AdbTransport
from hdap.remote.transports.base import Transport
from hdap.remote.transports.ssh import SshTransport

TRANSPORTS: Registry[type[Transport]] = Registry(
    "the way to a device", "transports", {"ssh": SshTransport, "adb": AdbTransport}
)
