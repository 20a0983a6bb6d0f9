"""Metrics of OTLP, as the file exporter of the OpenTelemetry Collector writes them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog, document

_LATENCY = "latency"
_PER_UNIT = {"": 1.0, "ms": 1.0, "s": 1e3, "us": 1e-3, "ns": 1e-6, "min": 6e4}
"""Milliseconds in a unit of UCUM."""
_ALSO = {"device.id": "device_id"}
"""What OpenTelemetry calls columns of the contract."""


class OtlpMetrics(MeasurementLog):
    """One row a data point of each gauge whose name holds `latency`, in its metric's unit.

    Attributes of the resource, the scope and the point are columns; `device.id` is the device.
    Other metrics are passed over, histograms too: they hold no median. What the exporter
    compresses itself, or writes as protobuf, is framed its own way and not read. Source:
    exporter/fileexporter/README.md of opentelemetry-collector-contrib, and the JSON encoding of
    opentelemetry.io/docs/specs/otlp.
    """

    called = "metrics of OTLP"
    endings = (".jsonl", ".ndjson")

    def recognises(self, source: ByteSource) -> bool:
        return source.head.lstrip().startswith(b"{") and b'"resourceMetrics"' in source.head

    def rows(self, text: str) -> Sequence[LogRow]:
        lines = enumerate(text.split("\n"), 1)
        return [row for at, line in lines if line.strip() for row in _of_line(line, at)]


@dataclass(frozen=True)
class _Gauge:
    factor: float
    points: Iterable[Mapping[str, Any]]
    labels: Mapping[str, str]


def _of_line(line: str, at: int) -> Iterator[LogRow]:
    try:
        exported = document(line)
    except ValueError as error:
        raise ValueError(f"line {at}: {error}") from error
    for gauge in _gauges(exported):
        for point in gauge.points:
            labels = {**gauge.labels, **_labels(point)}
            yield LogRow(
                line=at,
                latency_ms=round(_value(point) * gauge.factor, 9),
                device_id=labels.get("device_id", ""),
                model=labels.get("model", ""),
                channels=labels.get("channels", ""),
                timestamp=_moment(point.get("timeUnixNano")),
                extra=tuple(labels.items()),
            )


def _gauges(exported: Mapping[str, Any]) -> Iterator[_Gauge]:
    for resource in exported.get("resourceMetrics", ()):
        below = _labels(resource.get("resource", {}))
        for scope in resource.get("scopeMetrics", ()):
            labels = below | _labels(scope.get("scope", {}))
            for metric in scope.get("metrics", ()):
                if "gauge" in metric and _LATENCY in metric["name"].lower():
                    factor = _PER_UNIT[metric.get("unit", "")]
                    yield _Gauge(factor, metric["gauge"].get("dataPoints", ()), labels)


def _labels(holder: Mapping[str, Any]) -> dict[str, str]:
    pairs = holder.get("attributes", ())
    return {_ALSO.get(pair["key"], str(pair["key"])): _text(pair["value"]) for pair in pairs}


def _text(value: Mapping[str, Any]) -> str:
    plain = next(iter(value.values()), "")
    return plain if isinstance(plain, str) else json.dumps(plain)


def _value(point: Mapping[str, Any]) -> float:
    return float(point["asDouble"] if "asDouble" in point else point["asInt"])


def _moment(nanoseconds: object) -> str:
    since = int(str(nanoseconds or 0))
    if since == 0:
        return ""
    return datetime.fromtimestamp(since // 1000 / 1e6, UTC).isoformat()
