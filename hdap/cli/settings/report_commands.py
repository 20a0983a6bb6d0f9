"""Commands that show the database to a person."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from hdap.cli.settings.shared_flags import Study, WithBoth, WithDatabase
from hdap.requests.setting import Setting

PICTURE_KINDS = (
    *("fleet", "clusters", "latency", "parity", "learning"),
    *(
        "history",
        "pareto",
        "layers",
        "sizes",
        "promise",
        "training",
        "levels",
        "portfolio",
        "drift",
    ),
)
"""Names of the registry, for help and completion that load nothing; a test compares them."""


@dataclass(frozen=True, kw_only=True)
class ReportCommand(WithBoth):
    """Write what the database holds as one page: fleet, clusters, surrogates, search, proof, drift.

    The file opens offline, on a phone and on paper. What is not there yet is said where it would
    stand, with the command that makes it.
    """

    EXTRA: ClassVar = "report"

    out: Annotated[Path, Setting("The HTML file to write.")] = Path("report.html")
    study: Study = None


@dataclass(frozen=True, kw_only=True)
class PlotCommand(WithBoth):
    """Draw one picture of what the database holds."""

    EXTRA: ClassVar = "report"

    kind: Annotated[
        str, Setting(f"One of {', '.join(PICTURE_KINDS)}.", argument=True, choices=PICTURE_KINDS)
    ]
    out: Annotated[Path, Setting("The picture to write: .png, .svg or .html (interactive).")]
    study: Study = None
    model: Annotated[str | None, Setting("Which model; that of the study if left out.")] = None
    look: Annotated[
        str, Setting("light or dark; .html follows the reader.", choices=("light", "dark"))
    ] = "light"


@dataclass(frozen=True, kw_only=True)
class DashboardCommand(WithDatabase):
    """Look at studies in optuna-dashboard: history, parameters, importances, trial by trial.

    It shows a copy in memory as of now, so a running search is neither slowed nor stopped; start
    it again to see later trials. Ctrl-C ends it.
    """

    EXTRA: ClassVar = "report"

    study: Annotated[str | None, Setting("Only this study; all of them if left out.")] = None
    port: Annotated[int, Setting("Port on 127.0.0.1; 0 takes any free.", low=0, high=65535)] = 8080
    out: Annotated[
        Path | None,
        Setting("Write the copy here, as an Optuna journal, and serve nothing; must be new."),
    ] = None
    browser: Annotated[bool, Setting("Open a browser, on a terminal.")] = True
