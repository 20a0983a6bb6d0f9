"""Sockets that a server listens on, and why one cannot be had."""

import errno
import socket

from hdap.fleet_data.errors import InputError


def taken_port(error: OSError, host: str, port: int) -> Exception:
    """What to raise where a port cannot be had: one line for a person, or the error itself."""
    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
        return error
    why = "in use" if error.errno == errno.EADDRINUSE else "not allowed for this user"
    return InputError(
        f"the port must be free, but {port} on {host} is {why}: give another with --port, or "
        "--port 0 for any"
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; raises InputError where the port is taken or the host is not here."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(2048)
    except OSError as error:
        found.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                f"`--host` must be an address of this machine, but got {host!r}: give 127.0.0.1, "
                "or 0.0.0.0 for all"
            ) from error
        raise taken_port(error, host, port) from error
    return found
