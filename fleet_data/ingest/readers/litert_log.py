"""What LiteRT's (TensorFlow Lite's) `benchmark_model` prints."""

import re
from collections.abc import Sequence
from pathlib import PurePath

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog

_START = re.compile(r"STARTING!|Log parameter values verbosely: \[")
_SIGN = re.compile(rb"Log parameter values verbosely: \[|Inference timings in us: Init: ")
_NUMBER = r"([0-9.]+(?:e[+-]?[0-9]+)?)"
_COUNT = re.compile(r"count=([0-9]+) (?:first=\S+ )?curr=")
_MEDIAN = re.compile(rf"\bmedian={_NUMBER}")
_P95 = re.compile(rf"\bp95={_NUMBER}")
_AVERAGE = re.compile(rf"Inference timings in us: Init: .*Inference \(avg\): {_NUMBER}")
_GRAPH = re.compile(r"Graph: \[(.+?)\]")
_THREADS = re.compile(r"[Nn]um threads: \[([0-9]+)\]|#threads used for CPU inference: \[([0-9]+)\]")
_DELEGATE = re.compile(r"Use (gpu|NNAPI): \[1\]|Use (?:Hexagon|hexagon): \[1\]")


class LiteRtLog(MeasurementLog):
    """One row a run, of microseconds on its last `count=` line and its summary line.

    Newer versions print a median and percentiles; older ones an average alone, which then is the
    latency. The model is the stem of `Graph:` where nobody says another. Logcat's and the shell's
    prefixes may stay. Source: tensorflow/lite/tools/benchmark/benchmark_model.cc and its README.
    """

    called = "a log of benchmark_model"

    def recognises(self, source: ByteSource) -> bool:
        return _SIGN.search(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        found = list[LogRow]()
        lines = text.splitlines()
        start, count = 0, None
        for at, line in enumerate(lines):
            if _START.search(line):
                # a run prints both, so a start without a latency yet is the same run's
                start, count = at, None
            elif counted := _COUNT.search(line):
                count = (counted, line)
            elif average := _AVERAGE.search(line):
                found.append(_row("\n".join(lines[start:at]), at + 1, count, average))
                start, count = at + 1, None
        return found


def _row(
    said: str, line: int, count: tuple[re.Match[str], str] | None, average: re.Match[str]
) -> LogRow:
    median = _MEDIAN.search(count[1]) if count else None
    tail = _P95.search(count[1]) if count else None
    graph, threads, delegate = _GRAPH.search(said), _THREADS.search(said), _DELEGATE.search(said)
    unit = "cpu" if delegate is None else (delegate[1] or "hexagon").lower()
    return LogRow(
        line=line,
        latency_ms=float((median or average)[1]) / 1000,
        latency_p95_ms=float(tail[1]) / 1000 if tail else None,
        runs=int(count[0][1]) if count else None,
        model=PurePath(graph[1]).stem if graph else "",
        runtime=f"litert-{unit}",
        threads=int(threads[1] or threads[2]) if threads else None,
    )
