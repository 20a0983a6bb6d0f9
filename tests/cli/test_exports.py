"""Exports as teams have them: each comes in with the one command that docs/telemetry.md shows."""

import gzip
import io
import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import Result

from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "tests" / "data" / "logs"
PAGE = " ".join((ROOT / "docs" / "telemetry.md").read_text().split())
AT = 1_767_225_600


@dataclass(frozen=True)
class Export:
    """What a team has, the command that loads it, and what must come of it."""

    command: str
    files: Mapping[str, bytes]
    devices: set[str]
    latencies: list[float]
    rejected: Mapping[str, int] = field(default_factory=dict)


def lines(*rows: Any) -> bytes:
    texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    return ("\n".join(texts) + "\n").encode()


def event(device: str, inference_us: str | None) -> dict[str, Any]:
    """As Firebase's events are exported to BigQuery, and from there as JSON lines."""
    return {
        "event_name": "inference",
        "event_timestamp": str(AT * 1_000_000),
        "user_pseudo_id": device,
        "device": {"category": "mobile", "mobile_model_name": "SM-S921B"},
        "event_params": [
            {"key": "model", "value": {"string_value": "resnet50", "int_value": None}},
            {"key": "inference_us", "value": {"string_value": None, "int_value": inference_us}},
        ],
    }


def sitewise() -> bytes:
    """As AWS IoT SiteWise writes its cold tier: a property value a row."""
    frame = pl.DataFrame(
        {
            "seriesId": ["cam-1_latency", "cam-1_latency", "cam-2_latency"],
            "timeInSeconds": [AT, AT + 60, AT],
            "offsetInNanos": [0, 0, 0],
            "quality": ["GOOD", "BAD", "GOOD"],
            "doubleValue": [14.2, None, 20.5],
            "stringValue": pl.Series([None] * 3, dtype=pl.String),
        }
    )
    file = io.BytesIO()
    frame.write_avro(file)
    return file.getvalue()


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def profile() -> bytes:
    """ONNX Runtime's profile of a tiny network, a thousand times slower: as of a large one."""
    entries = json.loads((LOGS / "onnxruntime_profile.json").read_text())
    return json.dumps([e | {"dur": e["dur"] * 1000} if "dur" in e else e for e in entries]).encode()


GATEWAY = {"deviceId": "cam-1", "model": "ResNet-50", "inference_us": 14200, "ts": AT * 1000}
WRONG = "latency_ms: must be a finite number above 0 up to 1e+09 and may not be empty"
EXPORTS = {
    "camera gateway": Export(
        "hdap ingest gateway.jsonl.gz --map deviceId=device_id --map inference_us=latency_ms "
        "--map ts=timestamp --model-alias ResNet-50=resnet50",
        {
            "gateway.jsonl.gz": gzip.compress(
                lines(GATEWAY, GATEWAY | {"deviceId": "cam-2", "site": "hall 2"}, '{"deviceId": "c')
            )
        },
        {"cam-1", "cam-2"},
        [14.2, 14.2],
        {"row: the line must be one JSON object": 1},
    ),
    "app events": Export(
        "hdap ingest events.jsonl --map user_pseudo_id=device_id --map event_params.model=model "
        "--map event_params.inference_us=latency_ms --map event_timestamp=timestamp",
        {"events.jsonl": lines(event("a1", "14200"), event("a2", "9000"), event("a1", None))},
        {"a1", "a2"},
        [9.0, 14.2],
        {WRONG: 1},
    ),
    "SiteWise": Export(
        "hdap ingest sitewise.avro --map seriesId=device_id --map doubleValue=latency_ms "
        "--map timeInSeconds=timestamp --model resnet50",
        {"sitewise.avro": sitewise()},
        {"cam-1_latency", "cam-2_latency"},
        [14.2, 20.5],
        {WRONG: 1},
    ),
    "Prometheus": Export(
        "hdap ingest range.json",
        {"range.json": (LOGS / "prometheus.json").read_bytes()},
        {"cam-1", "cam-2"},
        [12.3, 13.1, 20.2],
        {WRONG: 1},  # a NaN
    ),
    "phone lab": Export(
        "hdap ingest lab/",
        {
            f"lab/device_id={phone},model=resnet50.txt": (LOGS / "benchmark_model.txt").read_bytes()
            for phone in ("s24", "p9")
        },
        {"s24", "p9"},
        [141.253, 141.253],
    ),
    "German Excel": Export(
        "hdap ingest messung.csv --map Gerät=device_id --map Modell=model "
        "--map 'Latenz [ms]=latency_ms' --map Zeitpunkt=timestamp",
        {
            "messung.csv": (
                "\ufeffGerät;Modell;Latenz [ms];Zeitpunkt;Bemerkung\r\n"
                "Kamera 1;resnet50;14,2;31.12.2025 23:59:00;\r\n"
                'Kamera 2;resnet50;20,5;01.01.2026 00:00:00;"warm; Lüfter aus"\r\n'
                "Kamera 3;resnet50;defekt;01.01.2026 00:01:00;\r\n"
            ).encode()
        },
        {"Kamera 1", "Kamera 2"},
        [14.2, 20.5],
        {WRONG: 1},
    ),
    "OpenTelemetry": Export(
        "hdap ingest metrics.json",
        {"metrics.json": (LOGS / "otlp.json").read_bytes()},
        {"cam-1", "cam-2"},
        [12.3, 13.1, 20.2],
    ),
    "trtexec": Export(
        "hdap ingest times.json --device-id orin-3 --model resnet50",
        {"times.json": (LOGS / "trtexec_times.json").read_bytes()},
        {"orin-3"},
        [5.65],
    ),
    "Parquet lake": Export(
        "hdap ingest lake/",
        {
            f"lake/device_id={device}/day=2026-01-01/0.parquet": parquet(
                model=["resnet50"] * 2, latency_ms=[10.0, latency]
            )
            for device, latency in (("007", 11.0), ("008", -1.0))
        },
        {"007", "008"},
        [10.0, 10.0, 11.0],
        {WRONG: 1},
    ),
    "ONNX Runtime": Export(
        "hdap ingest profile.json --device-id cam-7 --model resnet50",
        {"profile.json": profile()},
        {"cam-7"},
        [6.0],
    ),
}


@pytest.mark.parametrize("team", EXPORTS)
def test_an_export_comes_in_with_one_command(
    hdap: Hdap, fresh: Callable[[Path], Path], here: Path, team: str
) -> None:
    export, db = EXPORTS[team], fresh(here / "t.db")
    for name, data in export.files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(data)
    assert f"`{export.command}`" in PAGE, f"docs/telemetry.md must show {export.command}"
    _, *words = shlex.split(export.command)
    done = hdap(*words, "--json", db=db)
    assert done.exit_code == 0, done.output
    reports = json.loads(done.stdout)
    rejected: dict[str, int] = {}
    for report in reports:
        rejected |= report["rejected"]
    assert rejected == dict(export.rejected)
    with Store.open(str(db)) as store:
        assert set(store.devices().ids) == export.devices
        found = sorted(store.measurements().latency_ms.tolist())
        assert found == pytest.approx(export.latencies)
    # and once more is nothing new
    again = json.loads(hdap(*words, "--json", db=db).stdout)
    assert sum(report["added"] for report in again) == 0
    shutil.rmtree(here / "lab", ignore_errors=True)
