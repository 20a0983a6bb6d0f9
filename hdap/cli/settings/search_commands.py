"""Commands that search, and that show what was found."""

from dataclasses import dataclass, field
from typing import Annotated

from hdap.cli.settings.shared_flags import WithBoth
from hdap.requests.search_request import SearchRequest
from hdap.requests.setting import Given, Setting


@dataclass(frozen=True, kw_only=True)
class SearchCommand(WithBoth):
    """Find the pruned network that is fastest on the fleet as it is, within a FLOPs budget.

    Clusters and fits whatever is missing or stale by itself. Every network that is considered meets
    the budget exactly and keeps the importance that accuracy after fine-tuning needs.
    """

    request: SearchRequest | None = None
    timeout: Annotated[float | None, Setting("Stop after so many seconds.", low=0.1)] = None
    study: Annotated[str | None, Setting("A name for the study.")] = None
    resume: Annotated[str | None, Setting("Go on with this study.")] = None
    workers: Annotated[
        int,
        Setting(
            "Processes that search one study, or with --data judge it; several that search make "
            "the trials depend on timing, those that judge do not.",
            low=1,
        ),
    ] = 1
    storage: Annotated[
        str | None,
        Setting(
            "Where Optuna keeps the study, so that several machines search it: postgresql://..., "
            "grpc://HOST:PORT (Optuna's proxy), sqlite:///FILE or a *.journal file. The same "
            "command on each machine, with --study NAME, joins it; which trials it gets then "
            "depends on timing."
        ),
    ] = None
    given: Given = field(default_factory=Given)
