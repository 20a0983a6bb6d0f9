"""What Prometheus answers to `/api/v1/query_range`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog, document, number

_SIGN = re.compile(rb'\A\s*\{\s*"status"\s*:\s*"(success|error)"')
_NAME = "__name__"


class PrometheusRange(MeasurementLog):
    """One row a sample; labels called like a column of the contract are that column.

    Other labels are extra columns. A metric whose name ends with `_seconds`, Prometheus' base unit,
    is converted; any other value is in milliseconds or what `--unit` says. The line of a row is its
    number. Source: prometheus.io/docs/prometheus/latest/querying/api, range queries.
    """

    called = "an answer of Prometheus to query_range"

    def recognises(self, source: ByteSource) -> bool:
        return _SIGN.match(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        answer = document(text)
        if answer["status"] != "success":
            raise ValueError(f"Prometheus says {str(answer.get('error'))[:80]}")
        if answer["data"]["resultType"] != "matrix":
            raise ValueError("it must be a matrix: ask query_range, not query")
        rows = [row for series in answer["data"]["result"] for row in _series(series)]
        return [replace(row, line=at) for at, row in enumerate(rows, 1)]


def _series(series: dict[str, Any]) -> Iterator[LogRow]:
    labels = {str(key): str(value) for key, value in series["metric"].items()}
    factor = 1000 if labels.pop(_NAME, "").endswith("_seconds") else 1
    for at, value in series["values"]:
        yield LogRow(
            line=0,
            latency_ms=round(float(value) * factor, 9),  # 0.0123 s are 12.3 ms to the last digit
            device_id=labels.get("device_id", ""),
            model=labels.get("model", ""),
            channels=labels.get("channels", ""),
            timestamp=datetime.fromtimestamp(number(at), UTC).isoformat(),
            extra=tuple(labels.items()),
        )
