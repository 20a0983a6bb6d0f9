"""Ports that a server wants and cannot have."""

import errno

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
