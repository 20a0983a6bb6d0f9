"""The ways to devices by name: what `Host.kind` says."""

from hdap.remote.transports.adb import AdbTransport
from hdap.remote.transports.base import Transport
from hdap.remote.transports.ssh import SshTransport

TRANSPORTS: dict[str, type[Transport]] = {"ssh": SshTransport, "adb": AdbTransport}
