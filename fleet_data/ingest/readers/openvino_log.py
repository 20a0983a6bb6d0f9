"""What OpenVINO's `benchmark_app` prints."""

import re
from collections.abc import Sequence

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog

_SIGN = re.compile(rb"\[Step [0-9]+/11\] |\[ INFO \] Latency:")
_INFO = r"\[ INFO \]\s+"
_MEDIAN = re.compile(_INFO + r"Median:\s+([0-9.]+) ms")
_P95 = re.compile(_INFO + r"95 percentile:\s+([0-9.]+) ms")
_COUNT = re.compile(_INFO + r"Count:\s+([0-9]+) iterations")
_DEVICES = re.compile(r"(?:Execution Devices|EXECUTION_DEVICES): ?\[? ?'?([A-Za-z0-9.]+)")
_THREADS = re.compile(_INFO + r"INFERENCE_NUM_THREADS: ([0-9]+)")
_PRECISION = re.compile(_INFO + r"INFERENCE_PRECISION_HINT: (?:<Type: ')?([a-z0-9_]+)")
_BATCH = re.compile(_INFO + r"Model batch size: ([0-9]+)")
_REQUESTS = re.compile(r"\(Start inference asynchronously, ([0-9]+) inference requests")
_PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8"}


class OpenVinoLog(MeasurementLog):
    """One row a run, of its median in step 11.

    In throughput mode, the default, several requests run at once and each takes longer than one
    alone: how many is kept as the extra column `infer_requests`. Measure with `-hint latency`.
    Source: the logs in the notebooks of openvinotoolkit/openvino_notebooks, 2023.1 to 2024.5.
    """

    called = "a log of benchmark_app"

    def recognises(self, source: ByteSource) -> bool:
        return _SIGN.search(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        found, start = list[LogRow](), 0
        medians = list(_MEDIAN.finditer(text))
        for at, median in enumerate(medians):
            # what follows a median up to the next run's first step is this run's
            end = medians[at + 1].start() if at + 1 < len(medians) else len(text)
            following = text.find("[Step 1/11]", median.end(), end)
            end = end if following < 0 else following
            found.append(_row(text[start:end], median, text.count("\n", 0, median.start()) + 1))
            start = end
        return found


def _row(said: str, median: re.Match[str], line: int) -> LogRow:
    requests = _last(_REQUESTS, said)
    precision = _last(_PRECISION, said) or ""
    threads, runs, batch, tail = (_last(each, said) for each in (_THREADS, _COUNT, _BATCH, _P95))
    unit = (_last(_DEVICES, said) or "").partition(".")[0].lower()
    return LogRow(
        line=line,
        latency_ms=float(median[1]),
        latency_p95_ms=float(tail) if tail else None,
        runs=int(runs) if runs else None,
        batch_size=int(batch) if batch else None,
        runtime=f"openvino-{unit}" if unit else "openvino",
        precision=_PRECISIONS.get(precision, precision),
        threads=int(threads) if threads and threads != "0" else None,
        extra=(("infer_requests", requests),) if requests else (),
    )


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return str(found[-1]) if found else None
