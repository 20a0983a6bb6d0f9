"""A WSGI application on this machine's own address, for one person who looks at it."""

from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication

from hdap.device.ports import taken_port

HOST = "127.0.0.1"


class LocalServer(ThreadingMixIn, WSGIServer):
    """Answers requests side by side; nobody outside this machine reaches it."""

    daemon_threads = True

    @property
    def url(self) -> str:
        """What to open."""
        return f"http://{HOST}:{self.server_port}/"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line a request would bury what the command says."""


def local_server(application: WSGIApplication, port: int) -> LocalServer:
    """A server on 127.0.0.1; port 0 takes any that is free. Raises InputError where it is taken."""
    try:
        return make_server(HOST, port, application, LocalServer, _Quiet)
    except OSError as error:
        raise taken_port(error, HOST, port) from error
