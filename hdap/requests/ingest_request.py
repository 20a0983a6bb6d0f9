"""What a person asks of an ingest."""

from dataclasses import dataclass
from typing import Annotated

from hdap.fleet_data.ingest.reject_limit import RejectLimit, reject_limit
from hdap.requests.setting import Setting


@dataclass(frozen=True, kw_only=True)
class IngestRequest:
    """How telemetry is loaded."""

    max_rejected: Annotated[
        RejectLimit | None,
        Setting(
            "Store nothing of a file of which more rows are rejected: 5%, or a number of rows.",
            read=reject_limit,
        ),
    ] = None
