"""What ncnn's `benchncnn` prints."""

import re
from collections.abc import Sequence

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog

_SIGN = re.compile(rb"^loop_count = [0-9]+\r?$", re.MULTILINE)
_SETTING = re.compile(r"^(loop_count|num_threads|gpu_device) = (-?[0-9]+)\s*$")
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_ROW = re.compile(rf"^\s*(\S+)\s+min =\s*{_NUMBER}\s+max =\s*{_NUMBER}\s+avg =\s*{_NUMBER}\s*$")
_INT8 = "_int8"


class NcnnLog(MeasurementLog):
    """One row a network, of its average: benchncnn prints no median.

    Networks are called as ncnn calls them (`resnet50`, `mobilenet_v2`); `_int8` at the end is the
    precision. Source: benchmark/README.md and benchncnn.cpp of Tencent/ncnn.
    """

    called = "a log of benchncnn"

    def recognises(self, source: ByteSource) -> bool:
        return _SIGN.search(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        found, said = list[LogRow](), dict[str, int]()
        for at, line in enumerate(text.splitlines(), 1):
            if setting := _SETTING.match(line):
                said[setting[1]] = int(setting[2])
            elif row := _ROW.match(line):
                found.append(_row(row, at, said))
        return found


def _row(row: re.Match[str], line: int, said: dict[str, int]) -> LogRow:
    on_gpu = said.get("gpu_device", -1) >= 0
    return LogRow(
        line=line,
        latency_ms=float(row[4]),
        model=row[1].removesuffix(_INT8),
        runs=said.get("loop_count"),
        runtime="ncnn-vulkan" if on_gpu else "ncnn-cpu",
        precision="int8" if row[1].endswith(_INT8) else "",
        threads=None if on_gpu else said.get("num_threads"),
    )
