"""`hdap dashboard`: Optuna's own dashboard on the studies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, Db, Debug

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from hdap.fleet_data.store import Store

NAME = "dashboard"


def run(
    study: Annotated[
        str | None, typer.Option("--study", help="Only this study; all of them if left out.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes any free.")
    ] = 8080,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the copy here, as an Optuna journal, and serve nothing; must be new.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, on a terminal.")
    ] = True,
    db: Db = DEFAULT_DB,
    debug: Debug = False,
) -> None:
    """Look at studies in optuna-dashboard: history, parameters, importances, trial by trial.

    It shows a copy in memory as of now, so a running search is neither slowed nor stopped; start
    it again to see later trials. Ctrl-C ends it.
    """
    from hdap.cli.terminal.extras import require
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import line
    from hdap.fleet_data.errors import InputError

    require("report")
    if out is not None and out.exists():
        raise InputError(f"the journal must be new, but {out} exists: name another file")
    with open_store(db, create=False, read_only=True) as store:
        storage = _storage(out)
        trials, studies = _copy(store, study, storage)
    line(f"{trials:,} trials of {studies:,} studies, a copy as of now; latencies are predicted")
    if out is None:
        _serve(storage, port, browser)
    else:
        from hdap.cli.terminal.output import next_steps

        next_steps(f"optuna-dashboard {out}")


def _storage(out: Path | None) -> "BaseStorage":
    from optuna.storages import InMemoryStorage, JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return InMemoryStorage() if out is None else JournalStorage(JournalFileBackend(str(out)))


def _copy(store: "Store", study: str | None, storage: "BaseStorage") -> tuple[int, int]:
    import optuna

    from hdap.cli.terminal.output import progress_bar
    from hdap.workflows.copy_to_optuna import copy_studies

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = store.studies() if study is None else (store.study(study),)
    if not chosen:
        store.study()  # says that there is none and what makes one
    with progress_bar("copying trials") as bar:
        return copy_studies(store, chosen, storage, lambda d, n: bar(d, n, "")), len(chosen)


def _serve(storage: "BaseStorage", port: int, browser: bool) -> None:
    import webbrowser

    from optuna_dashboard import wsgi

    from hdap.cli.terminal.output import out as page
    from hdap.report.local_server import local_server

    with local_server(wsgi(storage), port) as server:
        page().print(f"optuna-dashboard on {server.url} (Ctrl-C ends it)", soft_wrap=True)
        page().file.flush()
        if browser and page().is_terminal:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            page().print("stopped")
