"""`hdap dashboard`: Optuna's own dashboard on the studies."""

import shlex
import sys
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna_dashboard import wsgi

from hdap.cli.settings.report_commands import DashboardCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import line, progress_bar
from hdap.cli.terminal.output import out as page
from hdap.fleet_data.errors import InputError
from hdap.serving.listening import taken_port
from hdap.workflows.copy_to_optuna import copy_studies

HOST = "127.0.0.1"
PATIENCE_S = 10
"""How long a client may be silent in the middle of a request."""


class LocalServer(ThreadingMixIn, WSGIServer):
    """Answers requests side by side; nobody outside this machine reaches it."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a client went away or never finished: no fault of the dashboard."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """What to open."""
        return f"http://{HOST}:{self.server_port}/"


class _Quiet(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line a request would bury what the command says."""


def local_server(application: WSGIApplication, port: int) -> LocalServer:
    """A server on 127.0.0.1; port 0 takes any that is free. Raises InputError where it is taken."""
    try:
        return make_server(HOST, port, _asked_here(application), LocalServer, _Quiet)
    except OSError as error:
        raise taken_port(error, HOST, port) from error


def _asked_here(application: WSGIApplication) -> WSGIApplication:
    """The application for requests to this machine's own names: a page of another site, whose name
    was turned to this address, is not answered."""

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        name = str(environ.get("HTTP_HOST", "")).rpartition(":")
        if (name[0] or name[2]) in (HOST, "localhost"):
            return application(environ, start)
        start("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"this dashboard is asked as localhost or 127.0.0.1\n"]

    return answer


def run(asked: DashboardCommand) -> None:
    """Copy the studies, then serve or write the copy."""
    out = asked.out
    if out is not None and out.exists():
        raise InputError(f"the journal must be new, but {out} exists: name another file")
    with open_store(asked.db, create=False, read_only=True) as store:
        chosen = store.studies() if asked.study is None else (store.study(asked.study),)
        if not chosen:
            store.study()  # says that there is none and what makes one
        storage = _storage(out)
        with progress_bar("copying trials") as bar:
            trials = copy_studies(store, chosen, storage, lambda d, n: bar(d, n, ""))
    line(f"{trials:,} trials of {len(chosen):,} studies, a copy as of now; latencies are predicted")
    if out is None:
        _serve(storage, asked.port, asked.browser)
    else:
        next_steps(f"optuna-dashboard {shlex.quote(str(out))}")


def _storage(out: Path | None) -> BaseStorage:
    return InMemoryStorage() if out is None else JournalStorage(JournalFileBackend(str(out)))


def _serve(storage: BaseStorage, port: int, browser: bool) -> None:
    with local_server(wsgi(storage), port) as server:
        page().print(f"optuna-dashboard on {server.url} (Ctrl-C ends it)", soft_wrap=True)
        page().file.flush()
        if browser and page().is_terminal:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            page().print("stopped")
